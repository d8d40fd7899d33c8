"""Ctrl-C while the model writes: the first stops the reply, the second leaves after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interrupts:
    """How often Ctrl-C was pressed during a turn."""

    count: int = 0

    @property
    def leaves(self) -> bool:
        """Whether the user wants to leave: Ctrl-C was pressed twice or more."""
        return self.count > 1


@contextmanager
def stoppable(stop: Callable[[], None]) -> Iterator[Interrupts]:
    """Within the block, Ctrl-C calls `stop`; a third one raises KeyboardInterrupt after all."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        interrupts.count += 1
        if interrupts.count > 2:
            raise KeyboardInterrupt
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
