"""Jobs of the hooks: in each queue one after another, the queues side by side."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


class Jobs:
    """Queues of jobs by key. A key that has jobs has one task, any other key has none."""

    def __init__(self, most: int) -> None:
        """In each queue, `most` jobs may wait."""
        self._most = most
        self._queues: dict[Hashable, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: Hashable, job: Job) -> bool:
        """Do a job after the others of its key; False if too many wait already."""
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
        """Forget the jobs that wait, and cancel those that were begun."""
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
                    _log.exception("a job of %r failed", key)
        finally:
            del self._queues[key]


async def answer_of(question: Awaitable[T], default: T, seconds: float) -> T:
    """The result of a hook; `default` if it raises or takes longer than `seconds`."""
    try:
        return await asyncio.wait_for(question, seconds)
    except asyncio.TimeoutError:
        _log.warning("a hook gave no answer within %g seconds", seconds)
        return default
    except Exception:
        _log.exception("a hook failed")
        return default


def attempt(hook: Callable[[], T]) -> T | None:
    """The result of a hook that is called at once; None if it raises."""
    try:
        return hook()
    except Exception:
        _log.exception("a hook failed")
        return None
