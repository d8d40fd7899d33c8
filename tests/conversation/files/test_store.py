"""Sessions on disk: they replay to the same state, and survive what happens to files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake import engine_of, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved import chat, only_file
from told import notices

from relay_gguf.conversation.events import Replayed
from relay_gguf.conversation.records import SessionHeader, decode
from relay_gguf.conversation.session_files import sessions
from relay_gguf.conversation.store import Store
from relay_gguf.errors import StoreError

HEADER = SessionHeader("fake", "fake.gguf", "bytes")


# Replaying


def test_everything_comes_back(tmp_path: Path) -> None:
    with chat(tmp_path, "one", "two", "three", "four", "lazy me", max_tokens=4) as session:
        run(
            session,
            "hi",
            "/retry",
            "/prev",
            "/topic sea",
            "again",
            "/undo",
            "/slap",
            "/lazy",
            "/edit then this",
            "/continue",
            "/save a tale",
            "/join #boston",
            "/cast a cat",
        )
        transcript, tokens = session.transcript, session.dialogue.tokens

    with chat(tmp_path, vocabulary="bytes") as session:
        events = run(session, "/load a tale")
        assert session.transcript == transcript
        assert session.dialogue.tokens == tokens
        assert session.transcript.channel == "boston"
        assert isinstance(events[0], Replayed)
        assert notices(events) == ["* This is the session a tale."]
        run(session, "/undo", "/undo")
        assert session.transcript.channel == "random"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                "hi",
                "/retry",
                "/undo",
                "/prev",
                "/next",
                "/slap",
                "/lazy",
                "/continue",
                "/edit x",
                "/topic t",
                "/join #x",
                "/reset",
                "a" * 70,
            ]
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_session_replays_to_its_live_state(tmp_path: Path, lines: list[str]) -> None:
    with chat(tmp_path, *["r" * 30, "s" * 61] * 20, n_ctx=700, max_tokens=60) as session:
        run(session, "hi", *lines)
        path = tmp_path / f"{session.dialogue.name}.jsonl"
        assert decode(path.read_bytes(), path).transcript == session.transcript
    path.unlink()


def test_the_file_is_one_readable_line_a_record(tmp_path: Path) -> None:
    with chat(tmp_path, "hé") as session:
        run(session, "hi", "/retry", "/prev", "/undo")
    lines = [json.loads(line) for line in only_file(tmp_path).read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines] == [
        "session",
        "turn",
        "turn",
        "reply",
        "alternative",
        "choose",
        "undo",
    ]
    assert lines[3] == {
        "event": "reply",
        "nick": "user",
        "content": "hé",
        "tokens": 3,
        "ids": list(b"user\nh\xc3\xa9"),
        "time": 1_700_000_000.0,
    }


# Other models


def test_with_another_vocabulary_the_text_is_tokenized_anew(tmp_path: Path) -> None:
    with chat(tmp_path, "ok") as session:
        run(session, "hi", "/save x")
    with chat(tmp_path, "sure", vocabulary="other") as session:
        events = run(session, "/load x")
        assert notices(events)[-1] == "* It was begun with fake; its text is tokenized anew."
        run(session, "more")
        assert [m.content for m in session.transcript.context][-2:] == ["more", "sure"]
    with chat(tmp_path) as session:
        run(session, "/load x")
        bodies = session.dialogue.generator.encoder._bodies
        assert ("user", "ok") in bodies, "ids of the first model are known"
        assert bodies.get(("user", "sure")) is None, "those of the other are not"


def test_a_smaller_context_trims_what_was_saved(tmp_path: Path) -> None:
    with chat(tmp_path, *["x" * 50] * 30) as session:
        run(session, *[f"message {number}" for number in range(30)], "/save long")
    with chat(tmp_path, n_ctx=1000) as session:
        run(session, "/load long", "hello")
        assert len(engine_of(session).prompts[-1]) < 900
        assert session.transcript.context[-1].content == "ok"


# Names


def test_nothing_said_leaves_no_file(tmp_path: Path) -> None:
    with chat(tmp_path / "none"):
        pass
    assert sessions(tmp_path / "none") == []


def test_saving_names_the_session_and_forks_a_named_one(tmp_path: Path) -> None:
    with chat(tmp_path) as session:
        run(session, "hi")
        assert notices(run(session, "/save first")) == ["* Saved as first: --resume 'first'"]
        run(session, "on", "/save second", "further", "/save second")
        assert session.dialogue.name == "second"
    assert [path.stem for path in sessions(tmp_path)] == ["second", "first"]
    sizes = [len(decode(p.read_bytes(), p).transcript.turns) for p in sessions(tmp_path)]
    assert sizes == [4, 3]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".hidden", "x" * 81, "a\nb", "a ", "con:", "\x1b[2J"]
)
def test_names_that_cannot_be_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with chat(tmp_path) as session, pytest.raises(StoreError, match="not a session name"):
        session.dialogue.save(name)


def test_a_taken_name_is_not_overwritten(tmp_path: Path) -> None:
    with chat(tmp_path) as session:
        run(session, "hi", "/save x")
    before = only_file(tmp_path).read_bytes()
    with chat(tmp_path) as session:
        run(session, "ho")
        assert "already" in notices(run(session, "/save x"))[0]
    assert (tmp_path / "x.jsonl").read_bytes() == before


def test_loading_an_unknown_session_is_refused(tmp_path: Path) -> None:
    with chat(tmp_path, "ok") as session:
        assert notices(run(session, "/load")) == ["* None saved."]
        assert notices(run(session, "/load who")) == [
            "* There is no session 'who'. /load lists them."
        ]
        run(session, "hi", "/save x")
        assert notices(run(session, "/load x")) == ["* You are in x."]
        (listed,) = notices(run(session, "/load"))
        assert listed.splitlines()[1:] == ["  1  x  #random  now  5 messages  hi (this one)"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_user_can_read_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with chat(folder) as session:
        run(session, "secret")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


# What happens to files


def test_a_session_is_open_in_one_process_at_a_time(tmp_path: Path) -> None:
    with chat(tmp_path) as session:
        run(session, "hi", "/save x")
        code = (
            "import sys; from pathlib import Path\n"
            "from relay_gguf.conversation.store import Store, SessionHeader\n"
            "from relay_gguf.errors import StoreError\n"
            "try: Store(Path(sys.argv[1]), SessionHeader('', '', ''), 'x')\n"
            "except StoreError as error: print(error)"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        run_ = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run_.stdout.startswith("The session 'x' is open in another relay-gguf.")


def test_a_new_store_has_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to resume"):
        Store(tmp_path, HEADER).resume()


def test_a_name_that_failed_leaves_the_session_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with chat(tmp_path) as session:
        run(session, "hi")
        before = session.dialogue.name
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            assert "No space left" in notices(run(session, "/save x"))[0]
        assert session.dialogue.name == before
        assert not (tmp_path / "x.jsonl").exists()
        assert notices(run(session, "on")) == []
        path = only_file(tmp_path)
        assert decode(path.read_bytes(), path).transcript == session.transcript


@pytest.mark.skipif(sys.platform == "win32", reason="flock is of Unix")
def test_a_file_system_without_locks_saves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with chat(tmp_path) as session:
        assert notices(run(session, "one", "two")) == []
    assert len(decode(only_file(tmp_path).read_bytes(), tmp_path).transcript.turns) == 3
