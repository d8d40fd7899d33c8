"""Between the thread that steps and those that ask: continuations in, each one's steps out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from relay_gguf.engine import Finished, Step
from relay_gguf.errors import EngineError
from relay_gguf.llama.thread import next_of

from .continuation import Continuation
from .slots import Slots

T = TypeVar("T")


class Asked:
    """A continuation that was handed in, and the queue of its steps."""

    def __init__(self, continuation: Continuation, inbox: Inbox) -> None:
        """Begin before the thread that steps has seen it."""
        self.continuation = continuation
        self.handle: int | None = None  # once it is in the slots
        self.over = False
        self._inbox = inbox
        self._steps: queue.SimpleQueue[Step | BaseException] = queue.SimpleQueue()

    def steps(self) -> Iterator[Step]:
        """Its steps, as they come; `Finished` is the last. Closing the iterator cancels.

        Raises:
            EngineError: the prompt is empty or does not fit, or llama.cpp failed.
        """
        try:
            while True:
                step = next_of(self._steps)
                if isinstance(step, BaseException):
                    raise step
                yield step
                if isinstance(step, Finished):
                    return
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End it, from any thread; one that has ended is left alone."""
        if not self.over:
            self._inbox.cancel(self)

    def put(self, step: Step | BaseException) -> None:
        """Tell a step, or the error that ends it."""
        self._steps.put(step)


class Inbox:
    """What other threads want of the one that steps."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._lock = threading.RLock()  # a signal handler may cancel in the same thread
        self._new: list[Asked] = []
        self._cancelled: list[Asked] = []
        self._live: list[Asked] = []
        self._jobs: list[Callable[[], None]] = []
        self._served = False

    def add(self, asked: Asked) -> bool:
        """Take in something new; whether the thread must be told to step."""
        with self._lock:
            self._new.append(asked)
            self._live.append(asked)
            return self._wake()

    def add_job(self, job: Callable[[], T]) -> tuple[Future[T], bool]:
        """Take in what is to be done between two steps; its result, and whether as for `add`."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            self._jobs.append(run)
            return future, self._wake()

    def cancel(self, asked: Asked) -> None:
        """Take something back."""
        with self._lock:
            self._cancelled.append(asked)

    def live(self) -> list[Asked]:
        """What has not ended."""
        with self._lock:
            return list(self._live)

    def end(self, asked: Asked, step: Step | BaseException) -> None:
        """Tell the last step of something, or the error that ends it."""
        asked.over = True
        with self._lock:
            self._live.remove(asked)
        asked.put(step)

    def take_jobs(self) -> list[Callable[[], None]]:
        """What is to be done before the next step."""
        with self._lock:
            jobs, self._jobs = self._jobs, []
            return jobs

    def take(self, n_live: int) -> tuple[list[Asked], list[Asked]] | None:
        """What is new, and what was taken back; None if the thread may rest: nothing is live."""
        with self._lock:
            if not n_live and not self._new and not self._jobs:
                self._cancelled.clear()
                self._served = False
                return None
            new, self._new = self._new, []
            gone, self._cancelled = self._cancelled, []
            return new, gone

    def _wake(self) -> bool:
        was, self._served = self._served, True
        return not was


# From here on: on the engine's thread


def serve(inbox: Inbox, slots: Slots) -> None:
    """Step until there is nothing left to do."""
    running: dict[int, Asked] = {}
    while (wanted := inbox.take(slots.n_live)) is not None:
        new, gone = wanted
        for job in inbox.take_jobs():
            job()
        try:
            for asked in new:
                _join(inbox, slots, running, asked)
            for asked in gone:
                if asked.handle is not None and not asked.over:
                    slots.cancel(asked.handle)
            for told in slots.step():
                if isinstance(told.step, Finished):
                    inbox.end(running.pop(told.handle), told.step)
                else:
                    running[told.handle].put(told.step)
        except Exception as error:  # llama.cpp failed: nobody's reply goes on
            for asked in running.values():
                inbox.end(asked, error)
            running.clear()


def _join(inbox: Inbox, slots: Slots, running: dict[int, Asked], asked: Asked) -> None:
    """Put something into the slots; what does not fit fails alone."""
    try:
        asked.handle = slots.submit(asked.continuation)
        running[asked.handle] = asked
    except EngineError as error:
        inbox.end(asked, error)
