"""A file that no check covers is read in a child process first, once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import good_keys, write

from relay_gguf import LlamaEngine
from relay_gguf.convert.inspect.read_check import check_read
from relay_gguf.errors import ModelError
from relay_gguf.folders import cache_file
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama.first_read import ask_reader, first_read
from relay_gguf.llama.first_read.ask_reader import ReadResult, ask
from relay_gguf.llama.first_read.first_read import readable_model


def deadly(path: Path) -> Path:
    """A file of which our checks know too little: a Qwen2 of which RoPE turns half a head."""
    keys = {name.replace("llama.", "qwen2."): item for name, item in good_keys().items()}
    half = {"general.architecture": "qwen2", "qwen2.rope.dimension_count": 8}
    return write(path, {**keys, **half})


def strange(path: Path) -> Path:
    """A sound file of which our checks know a key not."""
    return write(path, {**good_keys(), "llama.attention.sliding_window": 8})


def answering(result: ReadResult, asked: list[Path]) -> Any:
    """An `ask` without a process."""

    def ask(paths: list[Path], **_: object) -> ReadResult:
        asked.extend(paths)
        return result

    return ask


def test_a_file_that_ends_llama_cpp_ends_a_child_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = deadly(tmp_path / "deadly.gguf")
    with pytest.raises(ModelError) as refusal:
        LlamaEngine(path)
    said = str(refusal.value)
    assert f"{path} cannot be used: llama.cpp ends where it reads it (SIGABRT)." in said
    assert re.search(
        r"Its last words: qwen2.cpp:\d+: GGML_ASSERT\(n_embd_head == n_rot\).*another file", said
    )
    monkeypatch.setattr(first_read, "ask", answering(ReadResult(), asked := []))
    with pytest.raises(ModelError, match="SIGABRT"):  # as was kept
        readable_model(path)
    (found,) = check_read(read_gguf(path))
    assert (found.level, "GGML_ASSERT" in found.text) == ("problem", True)
    assert asked == []


def test_what_llama_cpp_reads_and_refuses(tmp_path: Path) -> None:
    assert ask([strange(tmp_path / "strange.gguf")]) == ReadResult()
    odd = write(tmp_path / "odd.gguf", {**good_keys(), "tokenizer.ggml.pre": "odd"})
    refused = ask([odd])
    assert (refused.died, refused.lasting) == ("", True)
    assert "unknown pre-tokenizer type: 'odd'" in refused.said


def test_a_child_with_a_trouble_of_its_own_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = """print('{"trouble": "MemoryError: none left"}')"""

    def start(*_: str, **__: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", told], stdin=pipe, stdout=pipe)

    monkeypatch.setattr(ask_reader.child, "start", start)
    assert ask([tmp_path / "x.gguf"]) == ReadResult(lasting=False)


def test_a_file_is_read_in_a_child_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(first_read, "ask", answering(ReadResult(), asked))
    path = strange(tmp_path / "strange.gguf")
    for _ in range(3):
        readable_model(path)
    assert asked == [path]
    os.utime(path, ns=(1, 1))  # another file under this name
    readable_model(path)
    assert asked == [path, path]
    monkeypatch.setenv("GGML_TEST", "1")  # other libraries, or other settings of theirs
    readable_model(path)
    assert asked == [path, path, path]


def test_a_file_that_is_covered_needs_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_read, "ask", answering(ReadResult(), asked := []))
    readable_model(write(tmp_path / "sound.gguf"))
    assert asked == []


def test_what_may_be_otherwise_next_time_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    killed = ReadResult("SIGKILL", "it said nothing", lasting=False)
    monkeypatch.setattr(first_read, "ask", answering(killed, asked))
    path = strange(tmp_path / "strange.gguf")
    for _ in range(2):
        with pytest.raises(ModelError, match="SIGKILL"):
            readable_model(path)
    assert asked == [path, path]


def test_what_was_kept_may_be_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_read, "ask", answering(ReadResult(), asked := []))
    path, kept = strange(tmp_path / "strange.gguf"), cache_file("first-reads.json")
    assert kept is not None
    kept.parent.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(["", "[]", "{", '{"x": 3}']):
        kept.write_text(content)
        readable_model(path)
        assert len(asked) == number + 1
    entries = json.loads(kept.read_text())
    kept.write_text(json.dumps({key: {"died": 3} for key in entries}))
    readable_model(path)
    assert len(asked) == 5


def test_without_a_child_a_file_is_read_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(first_read, "ask", fail)
    readable_model(strange(tmp_path / "strange.gguf"))


def test_a_child_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(*arguments: str, **_: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(["sleep", "60"], stdin=pipe, stdout=pipe))
        return started[0]

    monkeypatch.setattr(ask_reader.child, "start", start)
    found = ask([tmp_path / "x.gguf"], patience=0.01)
    assert (found.died, found.lasting) == ("no answer", False)
    assert started[0].poll() is not None
