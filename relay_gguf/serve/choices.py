"""The replies to a request, all at once, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Protocol

from relay_gguf.engine import ControlTokens
from relay_gguf.llama.batch.continuation import Continuation

from .choice import Choice, Ended, Steps, Wrote
from .request_body import CompletionRequest


class ServedEngine(Protocol):
    """What replies are asked of: a `BatchEngine`."""

    @property
    def name(self) -> str: ...

    @property
    def n_ctx(self) -> int: ...

    @property
    def n_vocab(self) -> int: ...

    @property
    def control(self) -> ControlTokens: ...

    def tokenize(self, text: str) -> list[int]: ...

    def piece(self, token: int) -> bytes: ...

    def ask(self, continuation: Continuation) -> Steps: ...


async def choices(
    engine: ServedEngine, prompts: Sequence[Sequence[int]], request: CompletionRequest
) -> AsyncGenerator[tuple[int, Wrote | Ended], None]:
    """What comes of each reply, with its index: those to the first prompt come first.

    Closing the iterator cancels what is not written yet, and waits for its end.

    Raises:
        EngineError: the model failed.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[int, Wrote | Ended] | BaseException | None] = asyncio.Queue()

    def tell(told: tuple[int, Wrote | Ended] | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(queue.put_nowait, told)

    def work(index: int, choice: Choice, asked: Steps) -> None:
        try:
            for event in choice.events(asked):
                tell((index, event))
        except BaseException as error:
            tell(error)
        tell(None)

    every = [
        Choice(engine, prompt, request, number) for prompt in prompts for number in range(request.n)
    ]
    asked = [engine.ask(choice.continuation) for choice in every]
    left = len(every)
    for index, (choice, steps) in enumerate(zip(every, asked, strict=True)):
        threading.Thread(
            target=work, args=(index, choice, steps), name="relay-choice", daemon=True
        ).start()
    try:
        while left:
            told = await queue.get()
            if told is None:
                left -= 1
            elif isinstance(told, BaseException):
                raise told
            else:
                yield told
    finally:
        if left:
            for steps in asked:
                steps.cancel()
        while left:
            left -= await queue.get() is None
