"""Several messages drawn at once, or one after the other where the engine cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event as Flag

import pytest
from fake import FakeEngine, FakeSeats, fails_at

from relay_gguf import SamplingParams
from relay_gguf.conversation.alternatives.drawing import Drawing
from relay_gguf.conversation.events import Alternative, Event, Piece, Prompted, Said, Trimmed
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import Message
from relay_gguf.errors import EngineError

LINES = [Message("anon", "hi")]


def drawing(engine: FakeEngine, n: int, known: Sequence[str] = (), **params: float) -> Drawing:
    return Drawing(Generator(engine, SamplingParams(seed=1, **params)), LINES, "model", n, known)  # type: ignore[arg-type]


def said(events: Sequence[Event]) -> dict[int, str | None]:
    """Row → its text, or None where it ended without one."""
    return {
        event.row: event.event.message.content if isinstance(event.event, Said) else None
        for event in events
        if isinstance(event, Alternative) and isinstance(event.event, Said | None)
    }


def test_one_after_the_other_all_differ() -> None:
    engine = FakeEngine(["one", "one", "old", "two", "three"])
    events = list(drawing(engine, 3, ["old"]).events())
    assert said(events) == {0: "one", 1: "two", 2: "three"}
    assert len({params.seed for params in engine.params}) == 5
    assert sum(isinstance(event, Prompted) for event in events) == 1


def test_at_once_all_differ_whoever_ends_first() -> None:
    waits = Flag()
    first, second = FakeEngine(["one"]), FakeEngine(["one", "two"])
    third = FakeEngine(["old", "three"])
    third.on_token = lambda count: waits.set()
    first.on_token = lambda count: None if waits.wait(9) else pytest.fail("nobody else writes")
    found = said(list(drawing(FakeSeats(first, second, third), 3, ["old"]).events()))
    assert set(found) == {0, 1, 2}
    assert len(set(found.values()) - {None, "old"}) == 3


def until_cancelled(engine: FakeEngine) -> Callable[[int], None]:
    """The reply stays open after its first letter, until it is cancelled."""

    def hold(count: int) -> None:
        if count == 2:
            while not engine.is_cancelled:
                Flag().wait(0.001)

    return hold


def test_only_one_goes_on() -> None:
    engines = [FakeEngine(["first"]), FakeEngine(["second"]), FakeEngine(["third"])]
    for index in (0, 2):
        engines[index].on_token = until_cancelled(engines[index])
    asked = drawing(FakeSeats(*engines), 3)
    events = []
    for event in asked.events():
        events.append(event)
        if isinstance(event, Alternative) and isinstance(event.event, Piece):
            asked.only(1)
    assert said(events) == {0: None, 1: "second", 2: None}


@pytest.mark.parametrize("n_seats", [0, 2])
def test_cancel_stops_them_all(n_seats: int) -> None:
    engines = [FakeEngine(["never whole"]) for _ in range(n_seats or 1)]
    for engine in engines:
        engine.on_token = until_cancelled(engine)
    generator = Generator(FakeSeats(*engines) if n_seats else engines[0], SamplingParams(seed=1))
    events = []
    for event in Drawing(generator, LINES, "model", 2).events():
        events.append(event)
        if isinstance(event, Alternative) and isinstance(event.event, Piece):
            generator.cancel()
    assert set(said(events).values()) == {None}
    assert generator.drawing is None


def test_leaving_the_events_stops_them() -> None:
    engines = [FakeEngine(["never whole"]), FakeEngine(["nor this"])]
    for engine in engines:
        engine.on_token = until_cancelled(engine)
    events = drawing(FakeSeats(*engines), 2).events()
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert all(engine.is_cancelled or engine.prompts for engine in engines)


def test_who_fails_lets_the_others_end() -> None:
    broken = FakeEngine(["broken"])
    broken.on_token = fails_at(1)
    events: list[Event] = []
    with pytest.raises(EngineError, match="no more"):
        events.extend(drawing(FakeSeats(FakeEngine(["whole"]), broken), 2).events())
    assert said(events) == {0: "whole", 1: None}


def test_at_temperature_0_there_is_one() -> None:
    engine = FakeEngine(["one", "one"])
    assert said(list(drawing(engine, 4, temperature=0).events())) == {0: "one"}
    assert len(engine.prompts) == 1


def test_what_has_nothing_else_to_say_ends_without_a_text() -> None:
    engine = FakeEngine(["one"] * 99)
    assert said(list(drawing(engine, 2).events())) == {0: "one", 1: None}


def test_a_full_context_is_trimmed_once() -> None:
    lines = [Message(("anon", "user")[n % 2], f"line {n} of them") for n in range(9)]
    engine = FakeEngine(["one", "two"], n_ctx=200)
    generator = Generator(engine, SamplingParams(seed=1, max_tokens=20))
    events = list(Drawing(generator, lines, "model", 2).events())
    assert [type(event) for event in events].count(Trimmed) == 1
    assert engine.prompts[0] == engine.prompts[1]
