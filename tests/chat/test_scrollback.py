"""Rows above the input line: what a piece of a reply costs, the log, errors."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fake import engine_of, fake_session
from prompt_toolkit.renderer import Renderer
from screens import SMALL, WIDE, Gate, chatted, chatting, until

from relay_gguf.debug import NAMES, log_everything

REPLY = "I have sailed the seven seas, and I would say that this is the wettest of them all."


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


def test_an_error_of_the_screen_keeps_the_reply() -> None:
    session = fake_session([REPLY])
    times = [1_700_000_000.0]  # of the typed line

    def now() -> float:
        if not times:
            raise RuntimeError("no time for the reply")
        return times.pop()

    with pytest.raises(RuntimeError, match="no time"):
        chatted(session, "hello\r", now=now)
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
