"""A thread that does one job after another, and waits that Ctrl-C can interrupt."""

from __future__ import annotations

import logging
import math
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

log = logging.getLogger("relay_gguf.llama")

T = TypeVar("T")
P = ParamSpec("P")

# Windows does not interrupt a wait for a lock, so waits there are cut into short ones.
_PATIENCE = 0.1 if sys.platform == "win32" else None


@dataclass(frozen=True, slots=True)
class IdleJob:
    """What a thread does after `seconds` without a job; it is given a function that tells whether
    the thread is still idle, and asks it now and then.
    """

    seconds: float
    job: Callable[[Callable[[], bool]], object]


class JobThread:
    """A thread with a queue of jobs.

    Not an executor: Python waits for executors before it calls functions registered by `atexit`, so
    that a reply in flight could not be cancelled at exit.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopped = False
        self._idle: IdleJob | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue `job(*args, **kwargs)`; returns the future of its result.

        Raises:
            RuntimeError: the thread was stopped.
        """
        if self._stopped:
            raise RuntimeError("the thread has stopped")
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(run)
        return future

    def when_idle(self, job: IdleJob) -> None:
        """Do `job` once, when no other job has come for its seconds; the last one given counts.

        Only from a job: the thread looks at it when that one is done.
        """
        self._idle = job

    def stop(self, last: Callable[[], object] | None = None) -> None:
        """End the thread after the queued jobs and a last one; waits for the end.

        The thread itself may be the one that calls: the garbage collector runs anywhere.
        """
        is_itself = threading.current_thread() is self._thread
        self._idle = None
        if last is not None and is_itself:
            last()
        elif last is not None:
            self.submit(last).result()
        self._stopped = True
        self._jobs.put(None)
        if not is_itself:
            self._thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # it refers to whoever asked for it, who may be gone before the next job comes

    def _next(self) -> Callable[[], None] | None:
        """The next job; while none comes, the idle job is done."""
        if (idle := self._idle) is not None:
            try:
                return self._jobs.get(timeout=idle.seconds)
            except queue.Empty:
                self._idle = None
                try:
                    idle.job(self._jobs.empty)
                except Exception:
                    log.exception("An idle job failed.")
        return self._jobs.get()


def next_of(items: queue.SimpleQueue[T], seconds: float = math.inf) -> T:
    """The next item of a queue; waits for it.

    Raises:
        queue.Empty: none has come in so many seconds.
    """
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        patience = min(left, threading.TIMEOUT_MAX if _PATIENCE is None else _PATIENCE)
        try:
            return items.get(timeout=max(0.0, patience))
        except queue.Empty:
            if left <= patience:
                raise


def wait(future: Future[T]) -> T:
    """The result of a job; waits for it, and raises its error."""
    while True:
        try:
            return future.result(timeout=_PATIENCE)
        except futures.TimeoutError:  # the builtin one only from Python 3.11 on
            if future.done():
                raise
