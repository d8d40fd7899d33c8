"""Several replies at once: of several conversations, or alternatives for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from .conversation.messages import Role
from .engine import HasSeats
from .relay import RelayLM


def respond_many(relays: Sequence[RelayLM], role: Role = "model") -> list[str]:
    """Let `role` say something in each conversation, all at once; each adds it to its context.

    They share a `BatchEngine`: `RelayLM(file, n_slots=8)`, and `RelayLM(engine=first.engine)` for
    each further one. With more conversations than slots some wait. With another engine they answer
    one after the other.

    Returns:
        What was said, in the order of `relays`.

    Raises:
        ContextError, EngineError: as `RelayLM.respond`, when all others have answered.
    """
    return _at_once([_replying(relay, role) for relay in relays], relays)


def alternatives(relay: RelayLM, n: int, role: Role = "model") -> list[str]:
    """Several things that `role` might say next; none is added to the context.

    `relay.message(role, text)` adds the one that is chosen. All differ, unless the model hardly has
    a choice: there may be fewer than `n`. They are drawn at once where the engine can do that; the
    context is read once.

    Args:
        relay: the conversation; its context stays as it is.
        n: how many.
        role: `model` to answer, `input` to write your side.

    Raises:
        ContextError, EngineError: as `RelayLM.respond`.
    """
    return relay.beside().respond(role, n=n)


async def arespond_many(relays: Sequence[RelayLM], role: Role = "model") -> list[str]:
    """`respond_many` for asyncio: its loop goes on, and cancelling the task cancels the replies.

    Returns:
        What was said, in the order of `relays`.

    Raises:
        ContextError, EngineError: as `RelayLM.respond`, when all others have answered.
    """
    replies = (relay.arespond(role) for relay in relays)
    texts = []
    for told in await asyncio.gather(*replies, return_exceptions=True):
        if isinstance(told, BaseException):
            raise told
        texts.append(told)
    return texts


def _replying(relay: RelayLM, role: Role) -> Callable[[], str]:
    return lambda: relay.respond(role)


def _at_once(jobs: Sequence[Callable[[], str]], relays: Sequence[RelayLM]) -> list[str]:
    """The results of jobs, each of a conversation; Ctrl-C cancels them all."""
    if not jobs:
        return []
    if not all(isinstance(relay.engine, HasSeats) for relay in relays):
        return [job() for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            for future in running:
                future.exception()
        except BaseException:
            while wait(running, timeout=0).not_done:  # one that has not begun is not stopped yet
                for relay in relays:
                    relay.cancel()
                wait(running, timeout=0.05)
            raise
    return [future.result() for future in running]
