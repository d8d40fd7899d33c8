"""Signals of a chat: Ctrl-C where no terminal is owned, and those that ask it to end."""

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


@contextmanager
def terminated(end: Callable[[int], None]) -> Iterator[None]:
    """Within the block, SIGTERM, SIGHUP and SIGQUIT call `end` with their number.

    A window that is closed sends several: all of them do, until the block is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP", "SIGQUIT")  # Windows: the first
    numbers = [getattr(signal, name, None) for name in names]
    before = [
        (number, signal.signal(number, lambda signum, frame: end(signum)))
        for number in numbers
        if number is not None
    ]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
