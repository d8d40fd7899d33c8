"""Several conversations at once, and alternatives for one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fake import FakeEngine

from relay_gguf import BatchEngine, RelayLM, alternatives, respond_many
from relay_gguf.errors import ContextError, SettingsError
from relay_gguf.fit.plan import LoadOptions

HOT = {"temperature": 2.0, "max_tokens": 12, "min_p": 0.0, "seed": 4}


@pytest.fixture(scope="module")
def engine(pico: Path) -> Iterator[BatchEngine]:
    with BatchEngine(pico, LoadOptions(n_ctx=512, n_slots=4), n_threads=1) as engine:
        yield engine


def scene(engine: BatchEngine, line: str) -> RelayLM:
    relay = RelayLM(engine=engine, **HOT)
    relay.join("model", "#sea")
    relay.message("input", line)
    return relay


class Seated:
    """An engine with seats, each of which says what comes next."""

    def __init__(self, *replies: str) -> None:
        self._replies = iter(replies)
        self.engine = FakeEngine()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def seat(self) -> FakeEngine:
        return FakeEngine([next(self._replies)])


def test_replies_come_in_the_order_of_the_conversations() -> None:
    engine = Seated("one", "two", "three")
    relays = [RelayLM(engine=engine) for _ in range(3)]
    for relay in relays:
        relay.message("input", "hi")

    assert respond_many(relays) == ["one", "two", "three"]
    assert [relay.get_last()["content"] for relay in relays] == ["one", "two", "three"]


def test_more_conversations_than_slots_answer(engine: BatchEngine) -> None:
    relays = [scene(engine, f"hello, I am number {n}") for n in range(6)]

    found = respond_many(relays)

    assert [relay.get_last()["content"] for relay in relays] == found
    assert [relay.get_last()["role"] for relay in relays] == ["user"] * 6


def test_a_conversation_that_fails_lets_the_others_answer(engine: BatchEngine) -> None:
    relays = [scene(engine, "hi"), scene(engine, "word " * 600), scene(engine, "ho")]

    with pytest.raises(ContextError):
        respond_many(relays)

    assert [relay.get_last()["role"] for relay in relays] == ["user", "anon", "user"]


def test_ctrl_c_stops_replies_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args: Any, **named: Any) -> Any:
            future: Any = super().submit(*args, **named)
            future.exception = lambda: signal.default_int_handler(signal.SIGINT, None)
            return future

    engine, seat, cancelled = Seated(), FakeEngine(["never whole"]), Event()
    stopped: list[bool] = []
    seat.on_token = lambda count: stopped.append(until(lambda: seat.is_cancelled))
    engine.seat = lambda: seat  # type: ignore[method-assign]
    relay = RelayLM(engine=engine)
    respond, cancel = relay.respond, relay.cancel
    monkeypatch.setattr("relay_gguf.many.ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(relay, "respond", lambda role: cancelled.wait(9) and respond(role))
    monkeypatch.setattr(relay, "cancel", lambda: (cancel(), cancelled.set()))
    with pytest.raises(KeyboardInterrupt):
        respond_many([relay])
    assert all(stopped)


def until(is_so: Callable[[], bool]) -> bool:
    """Wait for something, for a second at most."""
    return any(is_so() or Event().wait(0.001) for _ in range(1000))


def test_one_conversations_cancel_leaves_the_others_alone(engine: BatchEngine) -> None:
    relays = [scene(engine, "hi"), scene(engine, "ho")]
    first, second = (relay.speak("model") for relay in relays)
    next(first), next(second)
    relays[0].cancel()
    list(first)

    (said,) = [event for event in second if type(event).__name__ == "Said"]
    assert said.reason != "cancelled"  # type: ignore[attr-defined]


def test_alternatives_differ_and_read_the_context_once(engine: BatchEngine) -> None:
    relay = scene(engine, "what did you see in the storm? " * 8)
    before = [dict(entry) for entry in relay.context]

    found = alternatives(relay, 4)

    assert len(set(found)) == 4
    assert relay.context == before
    relay.message("model", found[2])
    assert relay.respond("input")


def test_without_slots_they_answer_one_after_the_other() -> None:
    engine = FakeEngine(["one", "two", "two", "three"])
    relays = [RelayLM(engine=engine) for _ in range(2)]
    for relay in relays:
        relay.message("input", "hi")

    assert respond_many(relays) == ["one", "two"]
    assert alternatives(relays[0], 2) == ["two", "three"]


def test_a_relay_makes_its_slots(pico: Path) -> None:
    with RelayLM(pico, n_slots=2, n_ctx=256, max_tokens=4) as relay:
        relay.message("input", "hi")
        assert isinstance(relay.engine, BatchEngine)
        assert relay.engine.n_slots == 2
        assert len(alternatives(relay, 2)) <= 2


def test_slots_and_workers_do_not_go_together(pico: Path) -> None:
    with pytest.raises(SettingsError, match="cannot use workers"):
        RelayLM(pico, n_slots=2, workers="127.0.0.1:1")
