"""Replies for asyncio: they come as they are written, and end with their task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from fake import FakeEngine, FakeSeats, fails_at

from relay_gguf import RelayLM, arespond_many
from relay_gguf.errors import CommandError, EngineError


def scene(engine: FakeEngine) -> RelayLM:
    relay = RelayLM(engine=engine, seed=1)
    relay.message("input", "hi")
    return relay


def said(relay: RelayLM) -> list[str]:
    return [entry["content"] for entry in relay.context[1:]]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 30))


class Held(FakeEngine):
    """Holds each reply before its second token, until it is cancelled or `go` is set."""

    def __init__(self, *replies: str) -> None:
        super().__init__(replies)
        self.go, self.reached = threading.Event(), threading.Event()
        self.on_token = self._hold

    def _hold(self, count: int) -> None:
        if count == 2:
            self.reached.set()
            while not self.is_cancelled and not self.go.wait(0.002):
                pass


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.002)


def test_the_loop_goes_on_while_the_model_writes() -> None:
    async def main() -> None:
        engine = Held("one", "two")
        relay = scene(engine)
        reply = asyncio.create_task(relay.arespond())
        await until(engine.reached.is_set)
        engine.go.set()
        assert await reply == "one"
        assert await relay.aretry() == "two"
        assert said(relay) == ["two"]

    run(main)


def test_pieces_come_as_they_are_written() -> None:
    async def main() -> None:
        engine = Held("abc")
        relay = scene(engine)
        found = []
        async for piece in relay.astream():
            found.append(piece)
            engine.go.set()
        assert found == ["a", "b", "c"]
        assert said(relay) == ["abc"]

    run(main)


def test_cancelling_a_task_cancels_its_reply_and_keeps_what_was_written() -> None:
    async def main() -> None:
        engine = Held("one", "later")
        relay = scene(engine)
        reply = asyncio.create_task(relay.arespond())
        await until(engine.reached.is_set)
        reply.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reply
        assert said(relay) == ["o"], "and it has ended: the engine is free"
        engine.go.set()
        assert await relay.arespond() == "later"

    run(main)


def test_a_stream_that_is_left_cancels_its_reply() -> None:
    async def main() -> None:
        relay = scene(Held("one"))
        async with aclosing(relay.astream()) as pieces:
            async for _ in pieces:
                break
        assert said(relay) == ["o"]

    run(main)


def test_a_task_that_is_cancelled_before_its_turn_leaves_the_other_alone() -> None:
    async def main() -> None:
        engine = Held("one", "never")
        first, second = scene(engine), scene(engine)
        replies = [asyncio.create_task(first.arespond())]
        await until(engine.reached.is_set)
        replies.append(asyncio.create_task(second.arespond()))
        await asyncio.sleep(0)
        replies[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await replies[1]
        engine.go.set()
        assert await replies[0] == "one"
        assert (said(second), len(engine.prompts)) == ([], 1)

    run(main)


def test_scenes_at_one_engine_wait_for_each_other() -> None:
    async def main() -> None:
        engine = FakeEngine(["one", "two", "three"])
        relays = [scene(engine) for _ in range(3)]
        assert sorted(await arespond_many(relays)) == ["one", "three", "two"]
        assert sorted(text for relay in relays for text in said(relay)) == ["one", "three", "two"]

    run(main)


def test_with_seats_they_write_at_once() -> None:
    async def main() -> None:
        seats = [Held("one"), Held("two")]
        engine = FakeSeats(*seats)
        replies = asyncio.create_task(arespond_many([scene(engine), scene(engine)]))
        await until(lambda: all(seat.reached.is_set() for seat in seats))
        for seat in seats:
            seat.go.set()
        assert await replies == ["one", "two"]

    run(main)


def test_several_to_choose_from() -> None:
    async def main() -> None:
        relay = scene(FakeEngine(["one", "one", "two", "three", "four"]))
        assert await relay.arespond(n=2) == ["one", "two"]
        assert await relay.aretry(n=2) == ["three", "four"]
        assert said(relay) == ["three"]

    run(main)


def test_errors_reach_who_awaits() -> None:
    async def main() -> None:
        engine = FakeEngine(["one"])
        engine.on_token = fails_at(2)
        relay = scene(engine)
        with pytest.raises(CommandError, match="did not speak last"):
            await relay.aretry()
        with pytest.raises(EngineError, match="no more"):
            await relay.arespond()
        assert said(relay) == ["o"]
        with pytest.raises(EngineError, match="no more"):
            await arespond_many([relay, scene(FakeEngine(["two"]))])

    run(main)
