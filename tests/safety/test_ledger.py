"""The files of a run: torn lines, parts of several machines, and what a folder belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_gguf.errors import StoreError
from relay_gguf.safety.ledger import Ledger, part, parts, read_rows
from relay_gguf.safety.run_folder import RunFolder, identity, name_of

ROWS = [{"key": str(n), "a": "é\n" * n} for n in range(2)]


def written(path: Path) -> Path:
    with Ledger(path) as ledger:
        for row in ROWS:
            ledger.add(row)
    return path


def test_a_power_cut_costs_the_last_line_at_most(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    for size in range(len(whole) + 1):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(whole[:size])
        n_whole = sum(end <= size for end in ends)
        assert list(read_rows(path)) == ROWS[:n_whole]
        with Ledger(path) as ledger:
            ledger.add(ROWS[1])
        assert list(read_rows(path)) == [*ROWS[:n_whole], ROWS[1]]
        path.unlink()


def test_a_long_torn_line_is_cut_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    with path.open("ab") as file:
        file.write(b'{"key": "' + b"x" * 200_000)
    with Ledger(path):
        pass
    assert path.read_bytes().count(b"\n") == len(ROWS) == len(list(read_rows(path)))


def test_a_damaged_line_is_told_with_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:5]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(StoreError, match=r"Line 2 of .*a.jsonl is damaged"):
        list(read_rows(path))


def test_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Ledger(path), pytest.raises(StoreError, match="being written by another process"):
        Ledger(path)


def test_parts_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / "m.as-chat.jsonl"
    for numbers in (None, range(0, 10), range(10, 25)):
        with Ledger(part(path, numbers)) as ledger:
            ledger.add({"key": str(numbers)})
    for other in ("m.jsonl", "m.as-chat.x-y.jsonl", "m.as-chat.extra.0-9.jsonl"):
        (tmp_path / other).write_text("not one of them")
    assert [p.name for p in parts(path)] == [
        "m.as-chat.0-10.jsonl",
        "m.as-chat.10-25.jsonl",
        "m.as-chat.jsonl",
    ]
    assert {row["key"] for row in read_rows(path)} == {"None", "range(0, 10)", "range(10, 25)"}
    assert list(read_rows(tmp_path / "gone.jsonl")) == []


def test_a_folder_holds_one_meaning_of_a_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new" / "run")
    folder.claim("models", "m", {"file": "1", "system": "a"})
    folder.claim("models", "m", {"file": "1", "system": "a"})
    folder.claim("models", "n", {"file": "2", "system": "a"})
    folder.claim("judges", "m", {"file": "3"})
    with pytest.raises(StoreError, match="results of m with another system"):
        folder.claim("models", "m", {"file": "1", "system": "b"})
    (folder.path / "run.json").write_text("[]")
    with pytest.raises(StoreError, match=r"run.json is damaged"):
        folder.claim("models", "m", {})


def test_a_file_is_known_again_by_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000  # more than twice what is read of it
    (tmp_path / "a.gguf").write_bytes(content)
    (tmp_path / "b.gguf").write_bytes(content)
    (tmp_path / "c.gguf").write_bytes(content[:-1] + b"x")
    assert identity(tmp_path / "a.gguf") == identity(tmp_path / "b.gguf")
    assert identity(tmp_path / "a.gguf") != identity(tmp_path / "c.gguf")
    with pytest.raises(StoreError, match="Cannot read"):
        identity(tmp_path / "gone.gguf")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("m-Q4_K_M.gguf", "m-Q4_K_M"),
        ("m-v0.1-F16-00001-of-00003.gguf", "m-v0.1-F16"),
        ("odd.name", "odd.name"),
    ],
)
def test_names_in_the_folder(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
