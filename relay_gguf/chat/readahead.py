"""Reading what stands in the input line, while a human types it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import psutil

from relay_gguf.conversation.commands import whole_words

PAUSE: Final = 0.3
"""Seconds without a key after which the line is read."""


class Timer(Protocol):
    """A call that is due, as `asyncio.TimerHandle`."""

    def cancel(self) -> None:
        """Call nothing."""


class ReadAhead:
    """Reads a line each time that the human pauses, as far as its words are whole.

    What was read stays good while the line only grows, so the next key ends nothing.
    """

    def __init__(
        self,
        prepare: Callable[[str], bool],
        later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        """Begin with an empty line.

        Args:
            prepare: lets the model read a line, and returns at once.
            later: calls a function in so many seconds.
        """
        self._prepare = prepare
        self._later = later
        self._timer: Timer | None = None
        self._done = ""

    def typed(self, line: str) -> None:
        """The line has changed."""
        self._cancel()
        words = whole_words(line)
        if words and words != self._done:
            self._timer = self._later(PAUSE, lambda: self._read(words))

    def entered(self) -> None:
        """The line was entered: the next one comes after it."""
        self._cancel()
        self._done = ""

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self, words: str) -> None:
        self._timer = None
        if self._prepare(words):
            self._done = words


def on_battery() -> bool:
    """Whether this computer runs on its battery now."""
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):  # not on every system
        return False
    return battery is not None and battery.power_plugged is False
