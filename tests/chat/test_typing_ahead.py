"""The input line while the model writes: typing, lines that wait, drafts, stopping, leaving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event as Flag

import pytest
from fake import engine_of, fake_session
from screens import PATIENCE, SMALL, WIDE, Gate, chatting, until

from relay_gguf import SamplingParams
from relay_gguf.conversation.session import Session
from relay_gguf.engine import Prefilling, Step

REPLY = "I have sailed the seven seas, and I would say that this is the wettest of them all."


def lines(session: Session) -> list[str]:
    """What the human said since the scene was opened."""
    return [turn.said.line for turn in session.transcript.turns[1:]]


@pytest.mark.parametrize(
    ("size", "screen"),
    [
        pytest.param(
            WIDE,
            """
            22:13 <anon> hello
            22:13 <user> I have sailed the seven seas, and I would say that this is the
                         wettest of
              queued: really?
            [#random] and then
            """,
            id="80x24",
        ),
        pytest.param(
            (120, 40),
            """
            22:13 <anon> hello
            22:13 <user> I have sailed the seven seas, and I would say that this is the wettest of
              queued: really?
            [#random] and then
            """,
            id="120x40",
        ),
    ],
)
def test_one_types_while_the_model_speaks(size: tuple[int, int], screen: str) -> None:
    session = fake_session([REPLY, "Aye."])
    gate = Gate(session, REPLY.index("them") + 1)
    with chatting(session, size) as chat:
        chat.type("hello\r")
        chat.waits_for("wettest")
        chat.type("really?\rand then")
        chat.begins(screen)
        gate.open()
        chat.waits_for("<user> Aye.")
        chat.waits_for("[#random] and then")
    assert lines(session) == ["hello", "really?"]


def test_lines_that_wait_are_said_in_their_order() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    with chatting(session, SMALL) as chat:
        chat.type("hello\rone\rtwo\r\rfour\rfive\r")
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> I have sailed the
              queued: one
              queued: two
              queued: ...
              and 2 more
            [#random]
            """)
        gate.open()
        until(lambda: lines(session) == ["hello", "one", "two", "...", "four", "five"])


def test_ctrl_c_takes_back_what_waits() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    with chatting(session, SMALL) as chat:
        chat.type("hello\rone\rtwo\r")
        chat.waits_for("queued: two")
        chat.type("\x03")
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> I have sailed the
              queued: one
            [#random] two
            """)
        chat.type("\x03")
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> I have sailed the
            [#random] two
            """)
        gate.open()
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> I have sailed the seven
                  seas, and I would say that this
                  is the wettest of them all.
            22:13 * Not sent; the arrow up brings
                    it: one
            [#random] two
            """)
    assert lines(session) == ["hello"]


def test_ctrl_c_stops_the_reply_and_leaves_what_is_typed() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 21)
    with chatting(session, SMALL) as chat:
        chat.type("hello\rreal")
        chat.waits_for("sailed the")  # before the first word nothing would be cut
        chat.waits_for("[#random] real")
        chat.type("\x03")
        gate.open_when_cancelled()
        chat.type("ly?\r")
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> I have sailed the se
            22:13 * cut (stopped); /continue goes
                    on
            22:13 <anon> really?
            22:13 <user> ok
            [#random]
            """)


def test_a_second_ctrl_c_leaves_after_the_reply() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 21)
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.waits_for("sailed the")
        chat.type("\x03\x03")
        gate.open_when_cancelled()
        chat.ends()
        chat.shows("""
            22:13 <anon> hello
            22:13 <user> I have sailed the se
            22:13 * cut (stopped); /continue goes
                    on
            """)
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    assert last.answer.cut


def test_ctrl_d_in_a_reply_leaves_after_it() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.waits_for("sailed the")
        chat.type("\x04")
        chat.waits_for("queued: /quit")
        gate.open()
        chat.ends()
        chat.waits_for("them all.")


def test_the_end_of_the_input_keeps_the_reply_that_was_cut() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.waits_for("sailed the")
        chat.hang_up()
        gate.open_when_cancelled()
        chat.ends()
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    assert (last.answer.content, last.answer.cut) == ("I have sailed the s", True)


def test_a_pasted_text_of_many_lines_leaves_the_reply_in_sight() -> None:
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    text = "\n".join(f"line {number} of a long paste" for number in range(1200))
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.waits_for("sailed the")
        chat.type(f"\x1b[200~{text}\x1b[201~")
        chat.waits_for("line 1199")
        gate.open()
        chat.waits_for("them all.")
        chat.type("\r")
        until(lambda: lines(session) == ["hello", text])


def test_who_is_typing_is_said_and_erased() -> None:
    session = fake_session(["Aye."])
    gate = Gate(session, 1)
    with chatting(session, SMALL) as chat:
        chat.type("hello\r")
        chat.begins("""
            22:13 <anon> hello
            * user is typing ...
            [#random]
            """)
        gate.open()
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> Aye.
            [#random]
            """)


def test_a_long_prompt_tells_how_far_it_is_and_how_long_it_takes() -> None:
    session = fake_session(["Aye."])
    engine, clock, read = engine_of(session), [0.0], Flag()
    generate = engine.generate

    def reads(prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        chat.waits_for("* user is typing ...")
        clock[0] = 4.0
        yield Prefilling(512, 2048)
        assert read.wait(PATIENCE)
        yield from generate(prompt, params)

    with chatting(session, WIDE, clock=lambda: clock[0]) as chat:
        engine.generate = reads  # type: ignore[method-assign]
        chat.type("hello\r")
        chat.begins("""
            22:13 <anon> hello
            * user is typing ... (read 512 of 2048 tokens, 12 s left)
            [#random]
            """)
        clock[0] = 7.0
        chat.begins("""
            22:13 <anon> hello
            * user is typing ... (read 512 of 2048 tokens, 9 s left)
            [#random]
            """)
        read.set()
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> Aye.
            [#random]
            """)


def test_an_action_is_shown_as_one() -> None:
    session = fake_session(["Poor you."])
    with chatting(session) as chat:
        chat.type("/me sighs\r")
        chat.begins("""
            22:13 * anon sighs
            22:13 <user> Poor you.
            [#random]
            """)
    said = [message.content for message in session.transcript.context[3:]]
    assert said == ["/me sighs", "* anon used /me sighs", "Poor you."]
