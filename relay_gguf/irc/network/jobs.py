"""Jobs for the resident: those of one channel one after another, channels side by side."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


class Errands:
    """Queues of jobs by key. There is a task for each key that has jobs, and none for the rest."""

    def __init__(self, most: int) -> None:
        """`most` jobs of a key may wait."""
        self._most = most
        self._queues: dict[Hashable, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: Hashable, job: Job) -> bool:
        """Do a job after those of the same key; False where too many wait already."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            task = asyncio.get_running_loop().create_task(self._work(key, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(queue) >= self._most:
            return False
        queue.append(job)
        return True

    def drop(self, key: Hashable) -> None:
        """Forget the jobs of a key that were not begun."""
        if key in self._queues:
            self._queues[key].clear()

    async def close(self) -> None:
        """Drop what waits, and stop what is being done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, key: Hashable, queue: deque[Job]) -> None:
        try:
            while queue:
                job = queue.popleft()
                try:
                    await job()
                except Exception:
                    _log.exception("the resident failed at %r", key)
        finally:
            del self._queues[key]


async def answer(question: Awaitable[T], default: T, seconds: float) -> T:
    """What the resident says to a question, or `default` if it fails or takes too long."""
    try:
        return await asyncio.wait_for(question, seconds)
    except asyncio.TimeoutError:
        _log.warning("the resident had no answer within %g seconds", seconds)
        return default
    except Exception:
        _log.exception("the resident has no answer")
        return default


def attempt(hook: Callable[[], T]) -> T | None:
    """What the resident says at once; None if it fails."""
    try:
        return hook()
    except Exception:
        _log.exception("the resident failed")
        return None
