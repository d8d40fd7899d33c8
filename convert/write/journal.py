"""The journal of a conversion: what is done, so that the same command can go on after a kill.

A file of JSON lines in the output folder, locked while a conversion runs there, removed at its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from relay_gguf.disk import lock
from relay_gguf.errors import ConversionError

from .output import PARTIAL

NAME: Final = ".relay-gguf-convert.journal"


class Journal:
    """The journal of an output folder, open and locked."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open it, or make it.

        Args:
            folder: where it lies.
            read_only: write nothing; where there is none, take it as empty.

        Raises:
            ConversionError: another process converts into this folder, or it cannot be written.
        """
        self.folder = folder
        self.path = folder / NAME
        try:
            self._file = _opened_to_read(self.path) if read_only else _opened(self.path)
        except OSError as error:
            raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
        if not lock(self._file):
            self._file.close()
            raise ConversionError(
                f"Another relay-gguf converts into {folder}. Let it finish, or take another --out."
            )
        self.entries, length = _read(self._file)
        if not read_only:
            self._file.seek(length)
            self._file.truncate()

    @property
    def run(self) -> str | None:
        """Which conversion it is of; None for a new one."""
        return str(self.entries[0]["run"]) if self.entries else None

    @property
    def tensors(self) -> Sequence[Mapping[str, Any]]:
        """The lines of finished tensors, in order."""
        return [entry for entry in self.entries if "tensor" in entry]

    @property
    def checked(self) -> Mapping[str, bool]:
        """Types whose files wait for their names; whether they were proved before."""
        return {line["checked"]: line["proved"] for line in self.entries if "checked" in line}

    @property
    def published(self) -> Mapping[str, str]:
        """Files that have their name already, and their digests."""
        return {line["published"]: line["sha256"] for line in self.entries if "published" in line}

    @property
    def what(self) -> str:
        """What the conversion is, in words."""
        return str(self.entries[0].get("what", "")) if self.entries else ""

    def begin(self, run: str, what: str, files: Sequence[str]) -> None:
        """Start anew; what an earlier conversion left half done is removed."""
        self.remove_partials()
        self._rewrite([{"run": run, "what": what, "files": list(files)}])

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tensors, as what follows has to be made again."""
        self._rewrite([*self.entries[:1], *self.tensors[:count]])

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line."""
        self.entries.append(dict(entry))
        line = memoryview(json.dumps(entry).encode() + b"\n")
        while line:
            line = line[self._file.write(line) :]

    def remove(self) -> None:
        """End it: nothing is left to go on with."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows removes no open file
            self._file.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it."""
        self._file.close()

    def partials(self) -> list[Path]:
        """What may have been begun under temporary names."""
        names = self.entries[0].get("files", []) if self.entries else []
        # a journal that someone made up names nothing else
        return [self.folder / (name + PARTIAL) for name in names if Path(name).name == name]

    def remove_partials(self) -> None:
        """Remove what was begun under temporary names."""
        for path in self.partials():
            path.unlink(missing_ok=True)

    def _rewrite(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.entries = []
        for entry in entries:
            self.add(entry)


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644),
        "r+b",
        buffering=0,  # what cannot be written must not wait for close()
    )


def _opened_to_read(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return BytesIO()


def _read(file: BinaryIO) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and their bytes; a last one without its end was cut off by a kill."""
    entries: list[dict[str, Any]] = []
    length = 0
    for line in file.read().splitlines(keepends=True):
        try:
            entry = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or (not entries and "run" not in entry):
            break
        entries.append(entry)
        length += len(line)
    return entries, length
