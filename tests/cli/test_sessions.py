"""Saved chats from the command line, and chats that go on with one or leave none."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake import FakeEngine, run
from processes import done

from relay_gguf.cli import chat as cli_chat
from relay_gguf.conversation.events import Event, Notice, Said
from relay_gguf.conversation.records import SessionHeader
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.session_files import titles
from relay_gguf.conversation.store import Store, read_session
from relay_gguf.folders import contexts_folder, history_path, sessions_folder


def test_sessions_are_listed(tale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = done(capsys, "sessions")
    assert (code, out) == (0, "1  tale  #boston  now  10 messages  hi\n")
    _, out, _ = done(capsys, "sessions", "list", "--json")
    (fields,) = json.loads(out)
    assert (fields["name"], fields["channel"], fields["n_scenes"]) == ("tale", "boston", 2)


def test_no_sessions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = done(capsys, "sessions")
    assert (code, out) == (0, f"No session is saved yet in {sessions_folder()}.\n")


def test_a_session_is_shown(tale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = done(capsys, "sessions", "show", "ta", "--scene", "2")
    assert out.splitlines()[-2:] == ["<anon> and now?", "<user> trout?"]
    _, out, _ = done(capsys, "sessions", "show", "1")
    assert "<user> hello ^[[31myou" in out.splitlines(), "nothing that a terminal would obey"
    code, _, err = done(capsys, "sessions", "show", "tale", "--scene", "3")
    assert (code, err) == (1, "relay-gguf: There is no scene 3. This session has 2.\n")
    assert done(capsys, "sessions", "show", "tale", "--format", "pdf")[0] == 2


def test_a_text_is_found_again(tale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = done(capsys, "sessions", "search", "TROUT")
    assert [line.split("  ")[::3] for line in out.splitlines()] == [["tale", "<user> trout?"]]
    code, out, err = done(capsys, "sessions", "search", "cod")
    assert (code, out, err) == (1, "", "relay-gguf: No session has the text 'cod'.\n")


def test_a_damaged_session_hides_no_other(tale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tale.parent / "bad.jsonl").write_text("garbage\n")
    _, out, err = done(capsys, "sessions", "search", "trout")
    assert out.startswith("tale")
    assert "bad.jsonl is damaged at line 1" in err


def test_a_session_is_exported(
    tale: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = done(capsys, "sessions", "export", "tale", "--format", "txt", "-o", str(tmp_path))
    assert "<anon> hi\n" in Path(out.strip()).read_text("utf-8")


def test_a_session_is_removed_when_that_was_meant(
    tale: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    _, _, err = done(capsys, "sessions", "rm", "tale")
    assert "10 messages  hi" in err
    assert tale.exists()
    contexts = contexts_folder()
    assert contexts is not None
    contexts.mkdir(parents=True)
    (contexts / "a.context").touch()
    _, out, _ = done(capsys, "sessions", "rm", "tale", "--yes")
    assert out == "Removed tale.\n"
    assert not tale.exists()
    assert list(contexts.iterdir()) == [], "its ids are its text"


# Chats


@pytest.fixture
def folders() -> list[Path | None]:
    """The folders of contexts that engines were opened with."""
    return []


@pytest.fixture
def rooms() -> list[int]:
    """The room for other contexts that engines were opened with."""
    return []


@pytest.fixture
def typed(
    folders: list[Path | None], rooms: list[int], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What is typed into a chat at a terminal, whose model is a fake one."""
    lines = ["hello"]

    @contextmanager
    def fake_engine(*_: object, scene_room: int, contexts: Path | None) -> Iterator[FakeEngine]:
        folders.append(contexts)
        rooms.append(scene_room)
        yield FakeEngine(["a reply"])

    def at_terminal(session: Session, opening: Iterable[Event], *_: object) -> None:
        for _ in opening:
            pass
        run(session, *lines)

    monkeypatch.setattr(cli_chat, "_run_terminal", at_terminal)
    monkeypatch.setattr(cli_chat, "_has_terminal", lambda: True)
    monkeypatch.setattr("relay_gguf.models.opening.open_engine", fake_engine)
    monkeypatch.setattr("relay_gguf.models.opening.loading_notices", lambda *_: [])

    for name in ("plan", "n_tries"):
        monkeypatch.setattr(FakeEngine, name, None, raising=False)
    return lines


def newest() -> Any:
    """The newest session's transcript."""
    title = next(titles(sessions_folder()))
    return read_session(sessions_folder() / f"{title.name}.jsonl").transcript


def test_a_chat_says_at_the_end_how_to_go_on(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed.append("/save my tale")
    code, out, _ = done(capsys, "chat", "model.gguf")
    assert (code, out) == (0, f"Saved: relay-gguf chat --resume {shlex.quote('my tale')}\n")


def test_people_are_seated_and_seated_again(
    typed: list[str], rooms: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has a context of its own; who seats nobody gets no room for one."""
    typed[:] = ["kate: hello", "/save tale of kate"]
    assert done(capsys, "chat", "m.gguf", "--with", "kate: a nurse: really")[0] == 0
    found = [message.content for _, message in newest().dated]
    assert "* kate's bio: I'm kate, a nurse: really" in found
    typed[:] = ["kate: and now?"]
    assert done(capsys, "chat", "m.gguf", "--resume", "tale of kate")[0] == 0
    assert [message.nick for _, message in newest().dated].count("kate") >= 2
    typed[:] = ["hello"]
    assert done(capsys, "chat", "m.gguf")[0] == 0
    assert [bool(room) for room in rooms] == [True, True, False]


@pytest.mark.parametrize(
    ("people", "why"),
    [
        (["kate: a", "Kate: b"], "Two people are called kate."),
        (["anon: a"], "Nobody can be called anon"),
        (["two words: a"], "is not a nick"),
        ([f"p{n}: a" for n in range(9)], "too many"),
    ],
)
def test_people_who_cannot_be_seated(
    people: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for person in people for word in ("--with", person)]
    code, _, err = done(capsys, "chat", "m.gguf", *given)
    assert (code, why in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        ((), True),
        (("--no-cache-file",), False),
        (("--no-save",), False),
        (("--plain",), False),
        (("--plain", "--resume"), True),
    ],
)
def test_what_the_model_has_read_is_kept_where_a_chat_will_go_on(
    options: tuple[str, ...],
    keeps: bool,
    tale: Path,
    typed: list[str],
    folders: list[Path | None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hi\n")))
    assert done(capsys, "chat", "m.gguf", *options)[0] == 0
    assert folders == [contexts_folder() if keeps else None]


def test_nothing_said_is_nothing_saved(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed.clear()
    assert done(capsys, "chat", "model.gguf")[1] == ""


def test_a_chat_that_is_not_saved_leaves_no_file(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert done(capsys, "chat", "model.gguf", "--no-save")[:2] == (0, "")
    assert not sessions_folder().exists()
    assert not history_path().exists()
    code, _, err = done(capsys, "chat", "model.gguf", "--no-save", "--resume")
    assert code == 2
    assert "--resume goes on saving" in err


def test_a_session_that_goes_on_takes_channel_topic_and_cast(
    tale: Path, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--channel", "#lagos", "--topic", "the heat", "--cast", "a cat")
    assert done(capsys, "chat", "m.gguf", "--resume", "ta", *options)[0] == 0
    found = newest()
    assert (found.channel, found.topic, found.bio) == ("lagos", "the heat", "a cat")
    assert len(found.scenes) == 3
    assert found.context[-2].content == "hello"


def test_a_bare_resume_passes_over_sessions_of_scripts(
    tale: Path, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    piped = Store(tale.parent, SessionHeader("fake", "", "bytes", piped=True))
    person = read_session(tale)
    for record, _ in person.entries:
        piped.append(record)
    piped.close()
    assert next(titles(tale.parent)).piped
    _, out, _ = done(capsys, "chat", "m.gguf", "--resume")
    assert out == "Saved: relay-gguf chat --resume tale\n"
    tale.unlink()
    _, out, _ = done(capsys, "chat", "m.gguf", "--resume")
    assert out == f"Saved: relay-gguf chat --resume {piped.name}\n", "better than none"


def test_a_model_beside_the_demo_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = done(capsys, "chat", "model.gguf", "--demo")
    assert code == 2
    assert "not both" in err


# The demo


@pytest.fixture
def shown(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The opening of a chat at a terminal, in which nothing is typed."""
    events: list[Event] = []

    def at_terminal(session: Session, opening: Iterable[Event], *_: object) -> None:
        events.extend(opening)

    monkeypatch.setattr(cli_chat, "_run_terminal", at_terminal)
    monkeypatch.setattr("relay_gguf.cli.demo.demo_file", lambda: Path("demo.gguf"))
    return events


def test_the_demo_says_what_it_is_and_opens_a_scene(
    shown: list[Event], capsys: pytest.CaptureFixture[str]
) -> None:
    assert done(capsys, "chat", "--demo")[:2] == (0, "")
    notice, *said = shown
    assert isinstance(notice, Notice)
    assert notice.text.startswith("This is the demo model, a toy")
    assert "`relay-gguf chat` without --demo takes Relay itself" in notice.text
    assert len(notice.text.splitlines()) == 4, "three lines to try"
    assert [event.message.content for event in said if isinstance(event, Said)] == [
        "/join #lisbon",
        "* Now talking in #lisbon",
        "* anon has joined #lisbon",
        "/topic lost cat, answers to Miso",
        "* Topic for #lisbon is: lost cat, answers to Miso",
        "/whois user",
        "* user's bio: I'm Rosa. I live in Lisbon. My cat is called Miso. I play the accordion.",
    ]
    assert list(titles(sessions_folder())) == [], "it is not worth a file"


def test_the_demo_opens_the_scene_that_was_asked_for(
    shown: list[Event], capsys: pytest.CaptureFixture[str]
) -> None:
    done(capsys, "chat", "--demo", "--cast", "a pirate")
    assert [e.message.content for e in shown if isinstance(e, Said)][-1] == (
        "* user's bio: a pirate"
    )
    assert "lisbon" not in str(shown)
