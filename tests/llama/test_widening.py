"""Several replies at a second context of an engine for one conversation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from relay_gguf import LlamaEngine, RelayLM, SamplingParams
from relay_gguf.conversation.alternatives.drawing import Drawing
from relay_gguf.conversation.events import Alternative, Prompted, Said
from relay_gguf.engine import Prefilled, Token, Widens
from relay_gguf.llama.batch import widening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GREEDY = SamplingParams(temperature=0.0, max_tokens=8)
PROMPT = [1, *range(40, 160)]


@pytest.fixture(scope="module")
def engine(pico: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(pico, n_threads=1) as engine:
        yield engine


def tokens(engine: LlamaEngine) -> list[int]:
    return [step.id for step in engine.generate(PROMPT, GREEDY) if isinstance(step, Token)]


def test_seats_go_on_from_what_the_engine_has_read(engine: LlamaEngine) -> None:
    """Their texts are the engine's own, and neither reads anything twice."""
    alone = tokens(engine)
    assert isinstance(engine, Widens)
    with engine.widened(PROMPT, 2, 8) as host:
        assert host is not None
        for seat in (host.seat(), host.seat()):
            steps = list(seat.generate(PROMPT, GREEDY))
            assert [step.id for step in steps if isinstance(step, Token)] == alone
            read = next(step for step in steps if isinstance(step, Prefilled))
            assert (read.evaluated, read.reused) == (1, len(PROMPT) - 1)
    again = list(engine.generate(PROMPT, GREEDY))
    assert next(step.evaluated for step in again if isinstance(step, Prefilled)) == 1


def test_without_room_there_are_no_seats(engine: LlamaEngine) -> None:
    with engine.widened([2, *PROMPT], 2, 8) as host:
        assert host is None, "most of the prompt was not read"
    tokens(engine)
    for name, short in {
        "available_memory": lambda: 1 << 20,
        "lib": SimpleNamespace(llama_init_from_model=lambda *_: None, llama_n_threads=int),
    }.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(widening, name, short)
            with engine.widened(PROMPT, 2, 8) as host:
                assert host is None, name
    with engine.widened(PROMPT, 2, 8) as host:
        assert host is not None


def test_a_drawing_reads_its_prompt_once_whatever_the_engine_has_read(
    engine: LlamaEngine,
) -> None:
    """What is not read yet is read by the first of them, in the engine's own context."""
    relay = RelayLM(engine=engine, temperature=2.0, min_p=0.0, max_tokens=8, seed=1)
    for text in ("what did you see in the storm? " * 12, "one more thing: " * 20):
        relay.message("input", text)
        events = list(Drawing(relay._generator, relay._lines, "model", 3).events())
        said = [e.event for e in events if isinstance(e, Alternative) and isinstance(e.event, Said)]
        assert len({one.message.content for one in said}) == 3
        assert sum(isinstance(event, Prompted) for event in events) == 1
        relay.message("model", said[0].message.content)
    spoken = [event for event in relay.speak("input") if isinstance(event, Prompted)]
    assert spoken[0].evaluated < 20, "the engine itself has read all but the last reply"


def test_an_engine_that_is_closed_meanwhile_frees_both(pico_engine: LlamaEngine) -> None:
    tokens(pico_engine)
    with pico_engine.widened(PROMPT, 2, 8) as host:
        assert host is not None
        pico_engine.close()
