"""The input line while the model writes: typing, lines that wait, drafts, stopping, leaving."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from typing import Any

import pytest
from fake import engine_of, fake_session
from prompt_toolkit.renderer import Renderer
from screens import PATIENCE, SMALL, WIDE, Gate, chatted, chatting, until

from relay_gguf import SamplingParams
from relay_gguf.chat.painter import Painter
from relay_gguf.conversation.session import Session
from relay_gguf.debug import NAMES, log_everything
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


def test_the_arrows_of_an_empty_line_choose_a_reply() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("count\r/retry\r")
        chat.waits_for("<user> two")
        chat.type("\x1b[D")
        chat.waits_for("* user's reply 1/2:")
        chat.type("\x1b[C")
        chat.waits_for("* user's reply 2/2:")
        chat.type("ab\x1b[Dc")
        chat.waits_for("[#random] acb")


def test_an_arrow_without_a_choice_does_nothing() -> None:
    session = fake_session(["one"])
    with chatting(session) as chat:
        chat.type("count\r")
        chat.waits_for("<user> one")
        chat.type("\x1b[D\x1b[Cthen")
        chat.begins("""
            22:13 <anon> count
            22:13 <user> one
            [#random] then
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


def test_undo_undoes_twice() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("count\rmore\r")
        chat.waits_for("<user> two")
        chat.type("/undo\r")
        chat.waits_for("[#random] more")
        chat.type("/undo\r")
        chat.waits_for("[#random] count")
    assert lines(session) == []


def test_a_draft_that_was_changed_is_typed_text() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("this\r")
        chat.waits_for("<user> one")
        chat.type("/undo\r")
        chat.waits_for("[#random] this")
        chat.type(" and/or that\r")
        chat.waits_for("<user> two")
    assert lines(session) == ["this and/or that"]


def test_a_draft_leaves_typed_text_alone() -> None:
    session = fake_session(["I am well"])
    gate = Gate(session, 5)
    with chatting(session, (60, 12)) as chat:
        chat.type("/lazy?\r")
        chat.waits_for("* anon is typing ...")
        chat.type("no")
        chat.waits_for("[#random] no")
        gate.open()
        chat.begins("""
            22:13 * A draft, for the arrow up: I am well
            [#random] no
            """)
        chat.type("\x03")
        chat.begins("""
            22:13 * A draft, for the arrow up: I am well
            [#random]
            """)
        chat.type("\x1b[A")
        chat.waits_for("[#random] I am well")


def test_prompts_stand_among_what_is_said() -> None:
    session = fake_session(["Aye."])
    with chatting(session, SMALL, prompts=True) as chat:
        chat.type("hello\r")
        chat.shows("""
                  <|im_start|>system
                  * Now talking in
                    #random<|im_end|>
                  <|im_start|>system
                  * anon has joined
                    #random<|im_end|>
                  <|im_start|>anon
                  hello<|im_end|>
                  <|im_start|>user
            22:13 <user> Aye.
            [#random]
             anon  #random  116/1048576  2.0 t/s
            """)


def test_the_log_stands_above_the_input_line() -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    log = logging.getLogger("relay_gguf.llama.cpp")
    session = fake_session([REPLY])
    gate = Gate(session, 20)
    terminal, file = Tty(), io.StringIO()
    with logging_to(terminal), logging_to(file):
        with chatting(session, SMALL) as chat:
            chat.type("hello\rand th")
            chat.waits_for("sailed the")
            log.debug("decoded \x1b[2J")
            chat.type("en")
            gate.open()
            chat.begins("""
                22:13 <anon> hello
                22:13 <user> I have sailed the seven
                      seas, and I would say that this
                      is the wettest of them all.
                22:13 relay_gguf.llama.cpp: decoded
                        ^[[2J
                [#random] and then
                """)
            assert not terminal.getvalue()
        log.debug("over")
    assert terminal.getvalue() == "relay_gguf.llama.cpp: over\n"
    assert file.getvalue() == f"relay_gguf.llama.cpp: decoded ^[[2J\n{terminal.getvalue()}"


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """Within the block, what --debug does, with a stream as stderr."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    log_everything(stream)
    try:
        yield
    finally:
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)


def test_an_error_of_the_screen_keeps_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    session = fake_session([REPLY])

    def fail(self: Painter, text: str) -> None:
        raise RuntimeError("no paint")

    monkeypatch.setattr(Painter, "_feed", fail)
    with pytest.raises(RuntimeError, match="no paint"):
        chatted(session, "hello\r")
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    assert last.answer.content


def test_an_error_of_the_model_ends_the_chat_and_is_told() -> None:
    session = fake_session([REPLY])

    def fail(count: int) -> None:
        raise RuntimeError("no model")

    engine_of(session).on_token = fail
    with pytest.raises(RuntimeError, match="no model"):
        chatted(session, "hello\r")


def test_a_piece_of_a_reply_draws_no_input_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a piece costs: a few bytes, however large the screen is."""
    drawn, render = [0], Renderer.render

    def count(*given: Any) -> None:
        drawn[0] += 1
        render(*given)

    session = fake_session(["ship " * 400], max_tokens=4000)
    with chatting(session, WIDE) as chat:
        engine_of(session).on_token = lambda count: chat.settles()
        monkeypatch.setattr(Renderer, "render", count)
        chat.type("hello\r")
        until(lambda: session.transcript.turns[-1].answer is not None)
        chat.settles()
    n_rows = 2000 // 60
    assert drawn[0] < n_rows + 30
    assert len(chat.written) < 2000 * 80


def test_a_reply_longer_than_the_screen() -> None:
    session = fake_session(["\n".join(f"{number} ships" for number in range(40))], max_tokens=999)
    with chatting(session, SMALL) as chat:
        chat.type("count\r")
        chat.shows("""
                  30 ships
                  31 ships
                  32 ships
                  33 ships
                  34 ships
                  35 ships
                  36 ships
                  37 ships
                  38 ships
                  39 ships
            [#random]
             anon  #random  461/1048576  174.5 t/s
            """)
