"""The chat in a terminal, screen by screen.

A real `Terminal` reads typed keys from a pipe and draws on a terminal emulator (pyte), whose whole
screen is compared: the conversation, the input line, the status line at the bottom.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fake import fake_session
from screens import WIDE, Chat, chatted, chatting

from relay_gguf.conversation.events import Notice


def test_a_chat_fits_80_columns() -> None:
    replies = [
        "Ahoy! I have sailed from Tortuga to Nassau and back, and never once have I been sober "
        "enough to tell the one from the other.",
        "Ouch! That was a fresh one.",
        "Has the cat got your tongue?",
    ]
    session = fake_session(replies)
    with chatting(session, WIDE, opening=[Notice("relay-gguf with fake\nYou are <anon>.")]) as chat:
        chat.type("/topic pirates of the Caribbean\r")
        chat.type("/cast I am a pirate\r")
        chat.type("hello there, old friend; where have you been all these years, and with whom?\r")
        chat.type("/slap\r")
        chat.type("\r")
        chat.type("I was thin")
        chat.shows("""
            22:13 relay-gguf with fake
                  You are <anon>.
            22:13 <anon> /topic pirates of the Caribbean
            22:13 * Topic for #random is: pirates of the Caribbean
            22:13 <anon> /cast I am a pirate
            22:13 * user's bio: I am a pirate
            22:13 <anon> hello there, old friend; where have you been all these years, and
                         with whom?
            22:13 <user> Ahoy! I have sailed from Tortuga to Nassau and back, and never
                         once have I been sober enough to tell the one from the other.
            22:13 <anon> /slap
            22:13 * anon slaps user around a bit with a large trout
            22:13 <user> Ouch! That was a fresh one.
            22:13 <anon> ...
            22:13 <user> Has the cat got your tongue?
            [#random] I was thin







             anon  #random  pirates of the Caribbean  619/1048576  14.0 t/s  fake
            """)


def test_a_chat_fits_40_columns() -> None:
    with chatting(fake_session(["Ahoy! I have sailed from Tortuga to Nassau and back."])) as chat:
        chat.type("/topic pirates\r")
        chat.type("where have you been all these years, and with whom?\r")
        chat.shows("""
            22:13 <anon> /topic pirates
            22:13 * Topic for #random is: pirates
            22:13 <anon> where have you been all
                  these years, and with whom?
            22:13 <user> Ahoy! I have sailed from
                  Tortuga to Nassau and back.
            [#random]




             anon  #random  273/1048576  26.0 t/s
            """)


def test_a_reset_is_not_put_into_the_mouth_of_the_model() -> None:
    session = fake_session()
    chat = chatted(session, "/join #boston\r/reset\r/quit\r")
    assert session.transcript.channel == "random"
    assert "<user> /reset" not in chat.written


def test_help_fits_80_columns() -> None:
    with chatting(fake_session(), WIDE) as chat:
        chat.type("/help\r")
        chat.shows("""
                  /lazy [beginning]    Let the model write your message, or the rest of it.
                  /lazy? [beginning]   Like /lazy, as a draft to edit; so is /lazy ...?
                  /retry [number]      Get another reply, or several to choose from.
                  /prev [number]       Go back to the reply before, or that number.
                  /next [number]       Go on to the reply after, or that number.
                  /continue            Let a reply that was cut go on.
                  /undo                Take back your last line and its reply; the text
                    returns for editing.
                  /edit [line]         Say something else instead of your last line.
                  /set [option value]  Change a sampling option, as temperature 0.7.
                  /context             Show what the model reads, and its size in tokens.
                  /save [name]         Name this session; everything is saved anyway.
                  /load [name]         Go to a saved session; without a name, show them.
                  /export [format]     Write the scene as jsonl, txt, md, html, irssi or
                    weechat. /export all: every scene.
                  /reset               Begin again in the first channel.
                  /message text        Say something, whatever it begins with; //text says
                    /text.
                  /help [command]      Show this list, or one command of it.
                  /exit                Leave; so do /quit and Ctrl-D.
                  /quit                Leave.
                  Any other /command goes to the model: try /dance wildly.
            [#random]
             anon  #random  91/1048576  fake
            """)


def test_a_reply_that_is_too_long_is_cut_and_goes_on() -> None:
    with chatting(fake_session(["I would say that", "it is late."], max_tokens=12)) as chat:
        chat.type("what is it?\r")
        chat.shows("""
            22:13 <anon> what is it?
            22:13 <user> I would say
            22:13 * cut (at --max-tokens);
                    /continue goes on
            [#random]






             anon  #random  130/1048576  5.5 t/s
            """)
        chat.type("/continue\r")
        chat.shows("""
            22:13 <anon> what is it?
            22:13 <user> I would say
            22:13 * cut (at --max-tokens);
                    /continue goes on
            22:13 <user> I would say it is late.
            [#random]





             anon  #random  141/1048576  5.5 t/s
            """)


def test_what_was_undone_can_be_sent_again() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("count\r/undo\r")
        chat.waits_for("[#random] count")
        chat.type(" please\r")
        chat.waits_for("<user> two")
    assert [message.content for message in session.transcript.context[3:]] == [
        "count please",
        "two",
    ]


def test_a_pasted_text_is_one_message() -> None:
    session = fake_session()
    chatted(session, "\x1b[200~one\r\ntwo\rthree\n/quit\x1b[201~\r/quit\r")
    assert session.transcript.context[3].content == "one\ntwo\nthree\n/quit"


@pytest.mark.parametrize("keys", ["\x04", "\x03\x03", "/quit\r", "/exit\r", "hello\r\x03\x03"])
def test_keys_that_leave_the_chat(keys: str) -> None:
    chat = chatted(fake_session(), keys)
    assert chat.written.endswith("\x1b[?2004l")  # bracketed paste is off again


@pytest.mark.parametrize("keys", ["\x03hello\r\x03", "hello\x03\x03", "hello\x04\x03\x03"])
def test_ctrl_c_and_ctrl_d_after_typing_do_not_leave(keys: str) -> None:
    session = fake_session()
    chatted(session, f"{keys}still here\r/quit\r")
    assert session.transcript.turns[-1].said.line == "still here"


def test_the_time_of_old_messages_is_theirs(tmp_path: Path) -> None:
    session = fake_session(["Aye."], tmp_path)
    list(session.submit("/save old"))
    list(session.submit("are you there?"))
    session.close()
    again = fake_session((), tmp_path)
    with chatting(again, opening=again.resume("old")) as chat:
        chat.type("hello\r")
        chat.shows("""
            22:13 * Now talking in #random
            22:13 * anon has joined #random
            22:13 <anon> are you there?
            22:13 <user> Aye.
            22:13 * This is the session old.
            22:13 <anon> hello
            22:13 <user> ok
            [#random]



             anon  #random  148/1048576  1.0 t/s
            """)
    again.close()


def colours(chat: Chat) -> set[str]:
    """The parameters of all SGR sequences."""
    return {
        number
        for parameters in re.findall(r"\x1b\[([\d;]*)m", chat.written)
        for number in parameters.split(";")
    }


def test_without_colour_there_is_none() -> None:
    typed = "hello\r/slap\r/join\r/retry\r/help\r/quit\r"
    assert colours(chatted(fake_session(), typed)) <= {"", "0", "1"}


def test_with_colour_notices_differ_from_talk() -> None:
    typed = "hello\r/slap\r/join\r/quit\r"
    assert colours(chatted(fake_session(), typed, colour=True)) >= {"2", "32"}


def test_typed_lines_are_remembered_for_the_user_alone(tmp_path: Path) -> None:
    history = tmp_path / "state" / "history"
    chatted(fake_session(), "hello\r/topic ships\r/quit\r", history=history)
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    with chatting(fake_session(), history=history) as chat:
        chat.type("\x1b[A\x1b[A")
        chat.shows("""
            [#random] /topic ships










             anon  #random  91/1048576  fake
            """)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(
            lambda path: path.parent.rmdir() or path.parent.write_text(""), id="no folder"
        ),
    ],
)
def test_a_chat_needs_no_history(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    history = tmp_path / "state" / "history"
    history.parent.mkdir()
    spoil(history)
    session = fake_session()
    chatted(session, "hello\r/quit\r", history=history)
    assert session.transcript.turns[-1].said.line == "hello"


def test_a_line_found_by_ctrl_r_is_sent() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("hello there\r")
        chat.waits_for("<user> one")
        chat.type("\x12hello")
        chat.waits_for("I-search backward: hello")
        chat.type("\r\r")
        chat.waits_for("<user> two")
    assert [turn.said.line for turn in session.transcript.turns[1:]] == ["hello there"] * 2
