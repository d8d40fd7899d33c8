"""Iterators that run in threads, ahead of whoever takes their items."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from types import TracebackType


class Eager:
    """Threads for iterators of numbers; at the end of the `with` block they stop."""

    def __init__(self, n_threads: int) -> None:
        """Run up to `n_threads` iterators at once, and the others after them."""
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="eager")
        self._ended = Event()

    def __enter__(self) -> Eager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, numbers: Iterator[int]) -> Iterator[int]:
        """The same numbers, and what it raises, of an iterator that runs already."""
        queue: SimpleQueue[int | None] = SimpleQueue()
        return _taken(queue, self._pool.submit(self._run, numbers, queue))

    def _run(self, numbers: Iterator[int], queue: SimpleQueue[int | None]) -> None:
        try:
            for number in numbers:
                if self._ended.is_set():
                    return
                queue.put(number)
        finally:
            queue.put(None)


def _taken(queue: SimpleQueue[int | None], running: Future[None]) -> Iterator[int]:
    while (number := queue.get()) is not None:
        yield number
    running.result()
