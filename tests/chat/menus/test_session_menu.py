"""`/load` in a terminal: a menu of the saved sessions in place of the input line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import fake_session, run
from screens import SMALL, WIDE, Gate, chatted, chatting

from relay_gguf.conversation.session import Session

NOW = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sessions, of which two have a name of their own."""
    talks = [
        (
            "20231114-201640",
            300,
            ["/join #boston", "where have you been all these years?"],
        ),
        ("pirates", 7200, ["/topic the Caribbean", "hello"]),
        ("灯台", 9 * 86_400, ["/join #灯台", "霧"]),
    ]
    for name, old, lines in talks:
        session = fake_session(["Aye.", "Well."], tmp_path)
        run(session, *lines)
        session.close()
        path = next(path for path in tmp_path.iterdir() if path.stat().st_mtime > NOW)
        path = path.rename(tmp_path / f"{name}.jsonl")
        os.utime(path, (NOW - old, NOW - old))
    return tmp_path


@pytest.fixture
def session(folder: Path) -> Iterator[Session]:
    """A chat that has said nothing yet."""
    session = fake_session(["Ahoy there.", "And so have you."], folder)
    yield session
    session.close()


@pytest.mark.parametrize(
    ("size", "screen"),
    [
        pytest.param(
            WIDE,
            """
            [#random] /load
            > 20231114-201640  #boston  5 min  8 messages  where have you been all these y…
              pirates          #random    2 h  7 messages  hello
              灯台             #灯台      1 w  8 messages  霧
            """,
            id="80x24",
        ),
        pytest.param(
            (120, 40),
            """
            [#random] /load
            > 20231114-201640  #boston  5 min  8 messages  where have you been all these years?
              pirates          #random    2 h  7 messages  hello
              灯台             #灯台      1 w  8 messages  霧
            """,
            id="120x40",
        ),
        pytest.param(
            SMALL,
            """
            [#random] /load
            >          #boston  5 min  8  where ha…
              pirates  #random    2 h  7  hello
              灯台     #灯台      1 w  8  霧
            """,
            id="40x12",
        ),
    ],
)
def test_load_is_a_menu(session: Session, size: tuple[int, int], screen: str) -> None:
    with chatting(session, size) as chat:
        chat.type("/load\r")
        chat.waits_for(" 3 of 3  Enter opens  Esc leaves")
        chat.begins(screen)


def test_an_arrow_and_enter_open_a_session(session: Session) -> None:
    with chatting(session, WIDE) as chat:
        chat.type("/load\r")
        chat.waits_for("3 of 3")
        chat.type("\x1b[B\x1b[B\x1b[A\x1b[B\x1b[B\x1b[A\r")
        chat.type("still here?\r")
        chat.shows("""
            22:13 * Now talking in #random
            22:13 * anon has joined #random
            22:13 <anon> /topic the Caribbean
            22:13 * Topic for #random is: the Caribbean
            22:13 <anon> hello
            22:13 <user> Aye.
            22:13 * This is the session pirates.
            22:13 <anon> still here?
            22:13 <user> Ahoy there.
            [#random]













             anon  #random  the Caribbean  229/1048576  5.5 t/s  fake
            """)


def test_typing_filters_the_menu(session: Session) -> None:
    with chatting(session, WIDE) as chat:
        chat.type("/load\r")
        chat.waits_for("3 of 3")
        chat.type("BOS yeax")
        chat.begins("[#random] /load BOS yeax")
        chat.waits_for("0 of 3")
        chat.type("\r\x7fr")
        chat.begins("""
            [#random] /load BOS year
            > 20231114-201640  #boston  5 min  8 messages  where have you been all these y…
            """)
        chat.type("\r")
        chat.waits_for("This is the session 20231114-201640.")
        chat.waits_for("[#boston]")


@pytest.mark.parametrize("key", ["\x1b", "\x03", "\x04"], ids=["Esc", "Ctrl-C", "Ctrl-D"])
def test_a_menu_is_left(session: Session, key: str) -> None:
    with chatting(session, SMALL) as chat:
        chat.type("/load\r")
        chat.waits_for("3 of 3")
        chat.type(f"pir{key}")
        chat.shows("""
            [#random]










             anon  #random  91/1048576  fake
            """)
        chat.type("hello\r")
        chat.waits_for("<user> Ahoy there.")
    assert session.transcript.turns[-1].said.line == "hello"


def test_a_menu_waits_for_the_reply_and_what_follows_waits_for_the_menu(session: Session) -> None:
    gate = Gate(session, 6)
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.waits_for("<user> Ahoy")
        chat.type("/load\rand then?\r")
        chat.waits_for("queued: and then?")
        gate.open()
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> Ahoy there.
            [#random] /load
            >          #random    now  5  (this on…
                       #boston  5 min  8  where ha…
              pirates  #random    2 h  7  hello
              灯台     #灯台      1 w  8  霧
            """)
        chat.type("灯\r")
        gate.open()
        chat.waits_for("<user> And so have you.")
    assert session.dialogue.name == "灯台"
    assert session.transcript.turns[-1].said.line == "and then?"


def test_a_thousand_sessions(tmp_path: Path) -> None:
    opened = {"event": "session", "version": 1, "model": "fake", "vocabulary": "bytes"}
    for number in range(1000):
        turn = {
            "event": "turn",
            "line": f"ship {number}",
            "time": NOW,
            "fresh": True,
            "channel": "sea",
            "messages": [{"nick": "anon", "content": f"ship {number}"}],
        }
        path = tmp_path / f"tale {number}.jsonl"
        path.write_text(f"{json.dumps(opened)}\n{json.dumps(turn)}\n")
        os.utime(path, (NOW - number, NOW - number))
    session = fake_session((), tmp_path)
    with chatting(session, SMALL) as chat:
        chat.type("/load\r")
        chat.waits_for(" 1000 of 1000  Enter opens")
        chat.type("\x1b[6~\x1b[6~\x1b[6~\x1b[5~\x1b[B")
        chat.begins("""
            [#random] /load
              tale 8    #sea     now  1  ship 8
              tale 9    #sea     now  1  ship 9
              tale 10   #sea     now  1  ship 10
              tale 11   #sea     now  1  ship 11
              tale 12   #sea     now  1  ship 12
            > tale 13   #sea     now  1  ship 13
            """)
        chat.type("77")
        chat.waits_for("19 of 1000")
    session.close()


def test_without_saved_sessions_there_is_no_menu() -> None:
    chat = chatted(fake_session(), "/load\r/quit\r")
    assert "* None saved." in chat.written
