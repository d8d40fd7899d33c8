"""What is read of files by parts: how much and how fast; waiting for a hub that does not answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final

from relay_gguf.errors import ModelError

WINDOW: Final = 10.0
"""Seconds over which the rate is measured."""


class StoppedError(ModelError):
    """Nobody wants the bytes any more."""

    def __init__(self) -> None:
        super().__init__("Reading from the hub was stopped.")


@dataclass(frozen=True, slots=True)
class Fetched:
    """`done` of `total` bytes have been fetched, at `rate` bytes a second of late."""

    done: int
    total: int
    rate: float


class Intake:
    """The account of all connections to a repository."""

    def __init__(
        self, notice: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nothing.

        Args:
            notice: is told in words when the hub does not answer, and when it does again.
            clock: seconds.
        """
        self._notice, self._clock = notice, clock
        self._lock = Lock()
        self._steps: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._quiet_until = 0.0
        self._troubled = False
        self._total = self._done = 0

    def begin(self, n_bytes: int) -> None:
        """So many bytes are going to be fetched."""
        with self._lock:
            self._total = self._done + n_bytes

    def add(self, n_bytes: int) -> None:
        """Bytes have arrived."""
        with self._lock:
            self._done += n_bytes
            now = self._clock()
            if now - self._steps[-1][0] > WINDOW / 50:
                self._steps.append((now, self._done))
                while self._steps[1][0] < now - WINDOW:
                    self._steps.popleft()
            recovered, self._troubled = self._troubled, False
        if recovered:
            self._notice("The hub answers again.")

    def pause(self, seconds: float, why: str, stopped: Event) -> None:
        """Wait before trying again; whatever several connections say at once is told once.

        Raises:
            StoppedError: nobody waits for the bytes any more.
        """
        with self._lock:
            now = self._clock()
            tells = now >= self._quiet_until
            if tells:
                self._quiet_until = now + seconds
                self._troubled = True
        if tells:
            why = why.removesuffix(" Try again later.")
            self._notice(f"{why} Trying again in {seconds:.0f} s.")
        if stopped.wait(seconds):
            raise StoppedError

    @property
    def fetched(self) -> Fetched:
        """How far it is."""
        with self._lock:
            began, before = self._steps[0]
            seconds = self._clock() - began
            rate = (self._done - before) / seconds if seconds > 0 else 0.0
            return Fetched(self._done, max(self._total, self._done), rate)
