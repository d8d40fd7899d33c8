"""Saved sessions are found again: by what was said, by a number, by how the name begins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake import fake_session, run

from relay_gguf.conversation.events import Notice
from relay_gguf.conversation.session_files import (
    Title,
    age,
    is_stamp,
    named,
    read_title,
    remove,
    session_path,
    sessions,
    title_rows,
    titles,
)
from relay_gguf.errors import StoreError

NOW = 1_700_000_000.0


def made(folder: Path, name: str, *lines: str, old: float = 0.0) -> Path:
    """A saved session, changed so many seconds before `NOW`."""
    session = fake_session(folder=folder)
    run(session, *lines, f"/save {name}")
    session.close()
    path = folder / f"{name}.jsonl"
    os.utime(path, (NOW - old, NOW - old))
    return path


def test_a_title_tells_what_a_session_is(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        "x",
        "gone",
        "/undo",
        "/topic the sea",
        "hi  there",
        "/retry",
        "/join #a",
        "/dance",
    )
    title = read_title(path)
    assert title == Title("x", NOW, "a", "hi there", 3 + 2 + 2 + 3 + 3, 2)


def test_a_session_of_commands_alone_shows_the_first(tmp_path: Path) -> None:
    assert read_title(made(tmp_path, "x", "/topic the sea", "/slap")).first_line == "/topic the sea"


@pytest.mark.parametrize("name", ["tale (1)", "a@b", "-x", "new\nline", "[x]"])
def test_a_copy_of_any_name_goes_on_and_what_follows_it_has_a_name_of_ours(
    name: str, tmp_path: Path
) -> None:
    made(tmp_path, "tale", "hi").rename(tmp_path / f"{name}.jsonl")
    session = fake_session(folder=tmp_path)
    run(session, "/load 1", "on")
    assert session.dialogue.name == name
    (tmp_path / f"{name}.jsonl").unlink()
    run(session, "further")
    session.close()
    (path,) = sessions(tmp_path)
    assert is_stamp(path.stem)
    assert read_title(path).n_messages == 3 + 3 * 2
    with pytest.raises(StoreError, match="is not a session name"):
        session_path(tmp_path, f"../{tmp_path.name}/{path.stem}")


def test_a_session_that_nobody_can_read_is_listed_all_the_same(tmp_path: Path) -> None:
    made(tmp_path, "good", "hi")
    (tmp_path / "bad.jsonl").write_bytes(b"garbage\n")
    (tmp_path / "worse.jsonl").write_bytes(b'{"event": "undo"}\n[]\n')
    rows = title_rows(list(titles(tmp_path)), NOW)
    assert [row.split()[4] for row in rows] == ["damaged", "damaged", "5"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "now"), (59, "now"), (60, "1 min"), (7199, "1 h"), (86_400, "1 d"), (9e5, "1 w")],
)
def test_ages(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_the_list_has_a_number_for_each_session(tmp_path: Path) -> None:
    made(tmp_path, "20231114-101112", "hello there", "/join #boston", old=60)
    made(tmp_path, "tale", "once upon a time there was a man who talked all day", old=7200)
    session = fake_session(folder=tmp_path)
    (notice,) = run(session, "/load")
    assert isinstance(notice, Notice)
    assert notice.text == (
        "Saved sessions, newest first; /load takes a number, a name or its beginning:\n"
        "  1  20231114-101112  #boston  1 min  8 messages  hello there\n"
        "  2  tale             #random    2 h  5 messages  once upon a time there was a man who ta…"
    )


@pytest.mark.parametrize(
    ("typed", "channel"),
    [("/load 1", "new"), ("/load 2", "old"), ("/load be", "new"), ("/load alpha", "old")],
)
def test_load_takes_a_number_or_the_beginning_of_a_name(
    typed: str, channel: str, tmp_path: Path
) -> None:
    made(tmp_path, "beta", "hi", "/join #new", old=60)
    made(tmp_path, "alpha", "hi", "/join #old", old=120)
    session = fake_session(folder=tmp_path)
    run(session, typed)
    assert session.transcript.channel == channel
    session.close()


def test_a_number_means_what_the_last_list_showed(tmp_path: Path) -> None:
    made(tmp_path, "beta", "hi", old=60)
    path = made(tmp_path, "alpha", "hi", old=120)
    session = fake_session(folder=tmp_path)
    run(session, "/load")
    os.utime(path, (NOW, NOW))  # now the newest
    run(session, "/load 2")
    assert session.dialogue.name == "alpha"
    session.close()


def test_what_means_no_session_or_several_is_told() -> None:
    names = ["tale", "tail", "7", "other"]
    assert named("7", names) == "7", "a name goes before a number"
    assert named("4", names) == "other"
    with pytest.raises(StoreError, match=r"'ta' is the beginning of 2 sessions: tale, tail"):
        named("ta", names)
    with pytest.raises(StoreError, match="There is no session '5'"):
        named("5", names)


def test_an_open_session_is_not_removed(tmp_path: Path) -> None:
    path = made(tmp_path, "x", "hi")
    session = fake_session(folder=tmp_path)
    run(session, "/load x")
    with pytest.raises(StoreError, match="is open in another"):
        remove(tmp_path, "x")
    session.close()
    remove(tmp_path, "x")
    assert not path.exists()
    assert sessions(tmp_path) == []
    with pytest.raises(StoreError, match="There is no session 'x'"):
        remove(tmp_path, "x")
