"""Files that are not models are refused, and values of any kind do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import good_keys, write

from relay_gguf.convert.inspect.inspection import inspect
from relay_gguf.convert.inspect.overview import inspect_lines
from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.gguf_model import read_gguf


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no file .*x\.gguf\. Check the path\."),
        (b"", r"x\.gguf is not a GGUF file"),
        (b"GGU", r"x\.gguf is not a GGUF file"),
        (b"PK\x03\x04 zip", r"x\.gguf is not a GGUF file"),
        (b"GGUF", r"x\.gguf is damaged: its header"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, r"x\.gguf is damaged: its header"),
    ],
)
def test_a_file_that_is_not_a_model_is_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_gguf(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder\. Name the \.gguf file in it\."):
        read_gguf(tmp_path)


def test_a_header_that_ends_early_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "tiny.gguf").read_bytes()
    for end in (5, 40, 300, 5000):
        (tmp_path / "cut.gguf").write_bytes(data[:end])
        with pytest.raises(ModelError, match=r"cut\.gguf is damaged: its header"):
            read_gguf(tmp_path / "cut.gguf")


@pytest.mark.parametrize("given", [["a"], "b", 0, 7])
def test_an_impossible_alignment_is_refused(given: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", good_keys() | {"general.alignment": given})
    with pytest.raises(ModelError, match=r"tiny\.gguf is damaged: its header"):
        read_gguf(path)


@pytest.mark.parametrize("name", [name for name in good_keys() if "template" not in name])
@pytest.mark.parametrize("given", ["text", 7, 4_000_000_000, True, 0.5, ["a"], [1, 2], []])
def test_values_of_any_kind_do_no_harm(name: str, given: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", good_keys() | {name: given})
    facts = read_gguf(path)
    found = inspect(facts)
    assert list(inspect_lines(facts, found))
    facts.memory(1 << 40)
