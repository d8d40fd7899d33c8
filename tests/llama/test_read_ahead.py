"""What is typed is read before Enter, and given up at once for whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fake import FakeEngine

from relay_gguf import LlamaEngine, RelayLM, SamplingParams
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.engine import Finished, Prefilled, Token
from relay_gguf.errors import EngineError

GREEDY = SamplingParams(temperature=0, max_tokens=6, repeat_penalty=1)
LONG = [*range(100, 400)]


def said(engine: LlamaEngine, prompt: Sequence[int]) -> tuple[int, list[int]]:
    """Tokens of a prompt that were evaluated, and the reply."""
    steps = list(engine.generate(prompt, GREEDY))
    (read,) = (step.evaluated for step in steps if isinstance(step, Prefilled))
    return read, [step.id for step in steps if isinstance(step, Token)]


def read_to_the_end(engine: LlamaEngine, prompt: Sequence[int]) -> None:
    engine.prepare(prompt)
    engine._thread.submit(lambda: None).result()  # jobs are done one after another


def test_what_was_read_ahead_is_not_read_again(pico_engine: LlamaEngine) -> None:
    read_to_the_end(pico_engine, LONG)
    assert said(pico_engine, [*LONG, 5])[0] == 2


def test_a_word_that_was_typed_otherwise_costs_that_word(pico_engine: LlamaEngine) -> None:
    read_to_the_end(pico_engine, [*LONG, 5, 6, 7, 8])
    read, reply = said(pico_engine, [*LONG, 9, 10])
    assert read == 2
    assert len(reply) == 6


def test_a_reply_waits_for_no_reading(pico_engine: LlamaEngine) -> None:
    """The cache is as good as if nothing had been begun."""
    expected = said(pico_engine, [5, 6, 7])[1]
    for _ in range(20):
        pico_engine.prepare([*range(200, 4000)])
        assert said(pico_engine, [5, 6, 7])[1] == expected
    pico_engine.prepare([*range(200, 4000)])
    assert pico_engine.forget([5, 6, 7, 8], 1, 2) is False
    pico_engine.prepare([*range(200, 4000)])
    assert pico_engine.logits().shape == (49152,)


def test_a_cancel_before_a_reply_is_not_lost_in_reading(pico_engine: LlamaEngine) -> None:
    pico_engine.prepare([*range(200, 4000)])
    pico_engine.cancel()
    pico_engine.prepare(LONG)
    (*_, last) = pico_engine.generate([5, 6, 7], GREEDY)
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"
    assert len(said(pico_engine, [5, 6, 7])[1]) == 6


@pytest.mark.parametrize("prompt", [[], [5], [*range(9000)]], ids=["none", "one", "too many"])
def test_what_cannot_be_read_is_not_begun(prompt: list[int], pico_engine: LlamaEngine) -> None:
    pico_engine.prepare(prompt)
    assert said(pico_engine, [5, 6, 7])[0] == 3


def test_a_closed_engine_says_so(pico_engine: LlamaEngine) -> None:
    pico_engine.close()
    with pytest.raises(EngineError, match="closed"):
        pico_engine.prepare(LONG)


def test_python_reads_ahead(pico_engine: LlamaEngine) -> None:
    relay = RelayLM(engine=pico_engine, temperature=0, max_tokens=4)
    relay.join("model", "boston")
    assert relay.prepare("hello there, how are")
    pico_engine._thread.submit(lambda: None).result()
    relay.message("input", "hello there, how are you?")
    read, _ = said(pico_engine, relay.encoder.prompt(relay._lines, "user", ""))
    assert read < 12, "`you?`, the end of the message, and what asks for a reply"
    assert not relay.prepare("word " * 5000), "which is no longer a message that fits"


# The input line


class Reader(FakeEngine):
    """An engine that notes what it was to read."""

    def __init__(self) -> None:
        super().__init__(["a reply"])
        self.read: list[str] = []

    def prepare(self, prompt: Sequence[int]) -> None:
        text = b"".join(map(self.piece, prompt)).decode()
        self.read.append(text.rpartition("anon\n")[2])


@pytest.fixture
def reader() -> tuple[Session, Reader]:
    engine = Reader()
    session = Session(Dialogue(Generator(engine, SamplingParams())))
    list(session.start())
    return session, engine


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("hello the", "hello"),
        ("hello the ", "hello the"),
        ("two\nlines he", "two\nlines"),
        ("//not a command", "/not a"),
        ("hello", None),
        ("   ", None),
        ("", None),
        ("/topic the sea ", None),
        ("/me waves at ", None),
    ],
)
def test_whole_words_of_a_message_are_read(
    line: str, read: str | None, reader: tuple[Session, Reader]
) -> None:
    session, engine = reader
    assert session.prepare(line) is (read is not None)
    assert engine.read == [read] * (read is not None)


def test_nothing_is_read_while_a_reply_is_written(reader: tuple[Session, Reader]) -> None:
    session, engine = reader
    for _ in session.submit("hi"):
        assert not session.prepare("and now ")
    assert engine.read == []
    assert session.prepare("and now ")


def test_an_engine_without_it_is_asked_for_nothing() -> None:
    session = Session(Dialogue(Generator(FakeEngine(["a"]), SamplingParams())))
    assert not session.prepare("hello there")
