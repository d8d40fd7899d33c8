"""Small GGUF files, and folders as values."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from relay_gguf.gguf_file.header import Metadata, TensorInfo, Value, ValueType, pack_header

RELAY = "<|im_start|>anon"


def gguf(
    path: Path, content: bytes = b"weights", template: str = RELAY, keys: Metadata | None = None
) -> Path:
    """A file with the head of a model; its folders are made."""
    said = {"general.architecture": Value("llama", ValueType.STRING), **(keys or {})}
    if template:
        said["tokenizer.chat_template"] = Value(template, ValueType.STRING)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(pack_header(said, [TensorInfo("output.weight", (8,), 0, 0)]) + content)
    return path


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that is below a folder: inode, time of change, bytes."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_ino,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on another file system."""

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
