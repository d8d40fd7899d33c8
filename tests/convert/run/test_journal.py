"""The journal of a conversion: one process has it, and neither a kill nor a full disk loses it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from relay_gguf import disk
from relay_gguf.convert.write import journal as journals
from relay_gguf.convert.write.journal import Journal
from relay_gguf.errors import ConversionError


@pytest.mark.parametrize("read_only", [False, True])
def test_a_journal_that_was_removed_before_it_was_locked(
    read_only: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion that had it ends between the opening and the locking: a new one begins."""
    first = Journal(tmp_path)
    first.begin("1", "what", [])
    lock = journals.lock

    def ends_first(file: Any) -> bool:
        monkeypatch.setattr(journals, "lock", lock)
        first.remove()
        first.close()
        return lock(file)

    monkeypatch.setattr(journals, "lock", ends_first)
    second = Journal(tmp_path, read_only=read_only)
    assert second.run is None
    if not read_only:
        second.begin("2", "what", [])
        assert b'"2"' in second.path.read_bytes()
        with pytest.raises(ConversionError, match="Another relay-gguf converts into"):
            Journal(tmp_path)
    second.close()


def test_what_is_kept_is_not_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of hours are not lost to a disk that is full, or to a kill at that moment."""
    journal = Journal(tmp_path)
    journal.begin("1", "what", ["a.gguf"])
    for number in range(4):
        journal.add({"tensor": f"t{number}", "marks": {}, "stats": {}})
    journal.add({"published": "a.gguf", "sha256": "0"})
    journal.close()
    journal = Journal(tmp_path)

    def full(self: Journal, entry: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "add", full)
        journal.keep(2)
    journal.add({"tensor": "new", "marks": {}, "stats": {}})
    kept = list(journal.entries)
    journal.close()
    journal = Journal(tmp_path)
    assert journal.entries == kept
    assert [entry["tensor"] for entry in journal.tensors] == ["t0", "t1", "new"]
    assert not journal.published
    journal.close()


def test_two_processes_that_make_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one is told that another converts there, not that the folder exists."""
    mkdir = Path.mkdir

    def overtaken(self: Path, *args: Any, **options: Any) -> None:
        mkdir(self)
        mkdir(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", overtaken)
    assert disk.make_folders(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
