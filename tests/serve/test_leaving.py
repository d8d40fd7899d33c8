"""Clients that go away before they have their answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from asgi import Served, api_of, ask

from relay_gguf.sampling import SamplingParams
from relay_gguf.serve.answers import AnswerForm, Written
from relay_gguf.serve.choice import Ended, Wrote
from relay_gguf.serve.paths import _streamed
from relay_gguf.serve.request_body import read_request

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_cancels_its_reply(stream: bool) -> None:
    engine = Served("hey you")
    engine.hold = True
    api = api_of(engine)
    body = {"messages": HI, "stream": stream}
    ask(api.app(), CHAT, body, leaves_after=2 if stream else 0)
    assert engine.cancelled.wait(9)
    assert api.metrics.in_progress == 0


def test_a_client_that_goes_away_within_its_body_is_not_an_error() -> None:
    app = api_of(Served()).app()
    assert ask(app, CHAT, {"messages": HI}, cut=True).status == 499


def test_a_stream_lets_others_have_a_turn() -> None:
    """Else a client's end is not noticed before all that waits for it was written."""
    turns = 0

    async def events() -> AsyncGenerator[tuple[int, Wrote | Ended], None]:
        for _ in range(20):
            yield 0, Wrote("x")

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> int:
        asked = read_request({"prompt": "a"}, "text", SamplingParams(), 259)
        other = asyncio.create_task(others())
        form = AnswerForm("text", "fake", 0)
        parts = [part async for part in _streamed(events(), form, asked, [Written()])]
        other.cancel()
        return len(parts)

    assert asyncio.run(main()) == 21
    assert turns >= 20
