"""The chat in a pipe: whole outputs, as lines and as JSON objects."""

from __future__ import annotations

import inspect
import io
import signal
import subprocess
import sys
from pathlib import Path
from pipes import output

import pytest
from fake import engine_of, fake_session

from relay_gguf.chat.plain import run_plain, standard_streams
from relay_gguf.conversation.events import Replayed
from relay_gguf.conversation.messages import Message
from relay_gguf.conversation.session import Session

TRANSCRIPTS = {
    "a chat": (
        ["Ahoy!", "Ouch!", "Well?"],
        "/topic pirates\n/cast I am a pirate\nhello there\n/slap\n\n",
        """
        <anon> /topic pirates
        * Topic for #random is: pirates
        <anon> /cast I am a pirate
        * user's bio: I am a pirate
        <anon> hello there
        <user> Ahoy!
        <anon> /slap
        * anon slaps user around a bit with a large trout
        <user> Ouch!
        <anon> ...
        <user> Well?
        """,
    ),
    "nothing typed": ([], "", ""),
    "no line break at the end": (
        ["Aye."],
        "hello",
        """
        <anon> hello
        <user> Aye.
        """,
    ),
    "line breaks of Windows": (
        ["Aye."],
        "hello\r\n/quit\r\n",
        """
        <anon> hello
        <user> Aye.
        """,
    ),
    "what comes after /quit is not read": ([], "/quit\nhello\n", ""),
    "a slash of one's own": (
        ["Aye."],
        "//join us\n",
        """
        <anon> /join us
        <user> Aye.
        """,
    ),
    "a command that nobody knows": (
        ["Splendid!"],
        "/dance wildly\n",
        """
        <anon> /dance wildly
        * anon used /dance wildly
        <user> Splendid!
        """,
    ),
    "a new scene": (
        [],
        "/join #boston\n/join\n",
        """
        <anon> /join #boston
        * Now talking in #boston
        * user has joined #boston
        * Invalid: Missing channel name.
        """,
    ),
    "escape sequences are shown": (
        ["\x1b[2Jred\x07"],
        "\x1b]0;title\x07\n",
        """
        <anon> ^[]0;title^G
        <user> ^[[2Jred^G
        """,
    ),
    "a reply has lines": (
        ["one\n  two"],
        "count\n",
        """
        <anon> count
        <user> one
          two
        """,
    ),
    "other replies": (
        ["one", "two"],
        "count\n/retry\n/prev\n/prev\n",
        """
        <anon> count
        <user> one
        * user's reply is replaced (2/2), /prev brings it back:
        <user> two
        * user's reply 1/2:
        <user> one
        * This is the first (1/2).
        """,
    ),
    "undo": (
        ["one"],
        "count\n/undo\n/undo\n",
        """
        <anon> count
        <user> one
        * Took back: count
        * draft: count
        * Nothing to undo.
        """,
    ),
    "lazy": (
        ["hi there", "hello", " you?"],
        "/lazy\n/lazy? how are\n",
        """
        <anon> hi there
        <user> hello
        * draft: how are you?
        """,
    ),
}


@pytest.mark.parametrize(("replies", "typed", "text"), TRANSCRIPTS.values(), ids=TRANSCRIPTS.keys())
def test_a_chat_is_written_as_lines(replies: list[str], typed: str, text: str) -> None:
    assert output(fake_session(replies), typed) == inspect.cleandoc(text) + "\n" * bool(text)


def test_a_cut_reply_has_its_mark() -> None:
    session = fake_session(["I would say that", " it"], max_tokens=11)
    assert output(session, "hi\n/continue\n") == (
        "<anon> hi\n"
        "<user> I would say\n"
        "* cut (at --max-tokens); /continue goes on\n"
        "<user> I would say it\n"
    )


def test_a_full_context_is_said_and_a_long_line_comes_back() -> None:
    session = fake_session(["hello"] * 3, n_ctx=300, max_tokens=20)
    greeting = "hello " * 8
    assert output(session, f"{greeting}\n{greeting}\n{greeting}\n{'x' * 300}\n") == (
        f"<anon> {greeting.strip()}\n"
        "<user> hello\n"
        f"<anon> {greeting.strip()}\n"
        "<user> hello\n"
        f"<anon> {greeting.strip()}\n"
        "* The context is full: the 4 oldest messages (136 tokens) left it. "
        "The session keeps them.\n"
        "<user> hello\n"
        "* error: This needs 398 tokens together with the channel's join, topic and bios; "
        "the context has room for 273. Say it in fewer words, or start with a larger --n-ctx.\n"
        f"* draft: {'x' * 300}\n"
    )


def test_an_opening_shows_the_scene() -> None:
    session, out = fake_session(), io.StringIO()
    run_plain(session, session.start("pirates", "a sailor"), io.StringIO(), out, as_json=False)
    assert out.getvalue() == (
        "* Now talking in #random\n"
        "* anon has joined #random\n"
        "* Topic for #random is: pirates\n"
        "* user's bio: a sailor\n"
    )


def test_a_reset_is_not_put_into_the_mouth_of_the_model() -> None:
    assert "<user> /reset" not in output(fake_session(), "/reset")


def test_a_nick_from_a_session_file_is_shown_and_not_obeyed() -> None:
    opening, out = [Replayed(((0.0, Message("a\x1b[2Jb", "hi")),))], io.StringIO()
    run_plain(fake_session(), opening, io.StringIO(), out, as_json=False)
    assert out.getvalue() == "<a^[[2Jb> hi\n"


def press_ctrl_c(session: Session, times: int) -> None:
    """Press it at the eighth token of a reply."""

    def press(count: int) -> None:
        for _ in range(times if count == 8 else 0):
            signal.raise_signal(signal.SIGINT)

    engine_of(session).on_token = press


def test_ctrl_c_stops_a_reply() -> None:
    session = fake_session(["I would say that it is late.", "Aye."])
    press_ctrl_c(session, 1)
    assert output(session, "what is it?\nreally?\n") == (
        "<anon> what is it?\n"
        "<user> I would\n"
        "* cut (stopped); /continue goes on\n"
        "<anon> really?\n"
        "<user> Aye.\n"
    )


def test_ctrl_c_twice_leaves() -> None:
    session, out = fake_session(["I would say that it is late."]), io.StringIO()
    press_ctrl_c(session, 2)
    with pytest.raises(KeyboardInterrupt):
        run_plain(session, [], io.StringIO("what is it?\nreally?\n"), out, as_json=False)
    assert out.getvalue() == (
        "<anon> what is it?\n<user> I would\n* cut (stopped); /continue goes on\n"
    )


@pytest.mark.thorough
def test_bytes_that_are_not_utf_8_are_replaced(smollm2: Path) -> None:
    options = ["--plain", "--threads", "1", "--max-tokens", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "relay_gguf", "chat", smollm2, *options],
        input=b"caf\xe9 \xff\n",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode("utf-8").splitlines()
    assert lines[:3] == [
        "* Now talking in #random",
        "* anon has joined #random",
        "<anon> caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}",
    ]
    assert lines[3].startswith("<user> ")


def test_an_action_is_shown_as_irc_shows_it() -> None:
    session = fake_session(["aww"])
    assert output(session, "/me sighs\n/me\n") == (
        "* anon sighs\n<user> aww\n<anon> /me\n* anon used /me \n<user> ok\n"
    )
    assert [m.content for m in session.transcript.context[3:5]] == [
        "/me sighs",
        "* anon used /me sighs",
    ]
    out = io.StringIO()
    run_plain(
        fake_session(),
        [Replayed(tuple(session.transcript.dated))],
        io.StringIO(),
        out,
        as_json=False,
    )
    assert "* anon sighs\n<user> aww\n" in out.getvalue()


def test_a_retry_that_repeats_itself_writes_whole_lines() -> None:
    assert output(fake_session(["a"] * 4 + ["b"]), "hi\n/retry\n").splitlines()[2:] == [
        "* user's reply is replaced (2/2), /prev brings it back:",
        "* The same again; now at temperature 0.6:",
        "<user> b",
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    typed = io.TextIOWrapper(io.BytesIO("\ufeff/join #naples\n".encode()), "latin-1")
    written = io.TextIOWrapper(io.BytesIO(), "cp1252")
    stdin, stdout = standard_streams(typed, written)
    assert stdin.read() == "/join #naples\n"
    assert stdout.encoding == "utf-8"


def test_several_replies_are_numbered_lines() -> None:
    session = fake_session(["Ahoy.", "Aye.", "Well?"])
    typed = "hello\n/retry 2\n/next 3\n"
    assert output(session, typed).split("\n")[1:] == [
        "<user> Ahoy.",
        "2: <user> Aye.",
        "3: <user> Well?",
        "* Reply 1/3 stands; /next NUMBER takes another.",
        "* user's reply 3/3:",
        "<user> Well?",
        "",
    ]
