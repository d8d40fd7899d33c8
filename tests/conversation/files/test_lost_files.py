"""Session files that other programs delete, change or fill the disk before."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake import run
from saved import chat, only_file
from told import notices

from relay_gguf.conversation.records import decode
from relay_gguf.conversation.session_files import is_stamp, sessions


def test_a_full_disk_is_a_notice_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with chat(tmp_path, "one", "two", "three") as session:
        run(session, "first")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            assert "No space left" in notices(run(session, "second"))[0]
            assert notices(run(session, "third")) == [], "told once"
        path = only_file(tmp_path)
        assert decode(path.read_bytes(), path).transcript.context[-1].content == "one"
        assert notices(run(session, "/slap")) == ["* The session is saved again."]
        assert decode(path.read_bytes(), path).transcript == session.transcript


def _deleted(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    older = path.with_suffix(".sync")
    older.write_bytes(path.read_bytes())
    older.replace(path)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _rewritten(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, ns=(0, 0))


def _appended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"event": "undo"}\n')


def _moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays where it is")
@pytest.mark.parametrize("named", ["", "/save my tale"])
@pytest.mark.parametrize(
    "happens", [_deleted, _replaced, _truncated, _rewritten, _appended, _moved]
)
def test_a_file_that_goes_away_is_told_and_all_is_saved_anew(
    happens: Callable[[Path], None], named: str, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    with chat(folder, "one", "two", "three", "four", vocabulary="words") as session:
        run(session, "first", "/retry", *filter(None, [named]))
        path = only_file(folder)
        happens(path)
        left = path.read_bytes() if path.exists() else None
        (notice,) = notices(run(session, "second"))
        new = session.dialogue.name
        assert new == f"{path.stem}-2"
        assert path.stem in notice
        assert f"saved anew as {new}." in notice
        assert notices(run(session, "third")) == [], "told once"
        transcript = session.transcript
    assert (path.read_bytes() if path.exists() else None) == left, "it stays as others left it"
    saved = folder / f"{new}.jsonl"
    assert decode(saved.read_bytes(), saved).transcript == transcript
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays where it is")
def test_a_file_that_goes_away_after_the_last_line_is_saved_anew_at_the_end(tmp_path: Path) -> None:
    with chat(tmp_path, "one") as session:
        run(session, "first", "/save tale-7")
        _deleted(only_file(tmp_path))
    (path,) = sessions(tmp_path)
    assert path.stem == "tale-2"
    assert decode(path.read_bytes(), path).transcript == session.transcript


def test_a_file_that_was_only_touched_is_still_ours(tmp_path: Path) -> None:
    with chat(tmp_path, "one", "two") as session:
        run(session, "first")
        os.utime(only_file(tmp_path), ns=(0, 0))
        assert notices(run(session, "second")) == []
    path = only_file(tmp_path)
    assert decode(path.read_bytes(), path).transcript == session.transcript


def test_a_resumed_session_whose_file_goes_away_keeps_what_was_in_it(tmp_path: Path) -> None:
    with chat(tmp_path, "one") as session:
        run(session, "first", "/save " + "a" * 80)
    with chat(tmp_path, "two") as session:
        run(session, "/load " + "a" * 80)
        _truncated(only_file(tmp_path))
        run(session, "second")
        name = session.dialogue.name
    assert name is not None
    assert is_stamp(name), "the old one has no room for a number"
    saved = tmp_path / f"{name}.jsonl"
    assert decode(saved.read_bytes(), saved).transcript == session.transcript


def test_a_folder_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with chat(tmp_path / "file" / "sessions") as session:
        assert [n for n in notices(run(session, "hi")) if n.startswith("* Cannot save")]
        assert session.transcript.context[-1].content == "ok"


def test_what_a_full_disk_kept_back_is_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with chat(tmp_path) as session:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            run(session, "precious")
        assert sessions(tmp_path) == [], "no empty file is left"
    path = only_file(tmp_path)
    assert decode(path.read_bytes(), path).transcript == session.transcript
