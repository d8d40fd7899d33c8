"""Pauses: in which channels nobody has spoken for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay_gguf.irc.protocol.names import fold


class Pauses:
    """A timer for each channel or nick where the bot waits for a pause."""

    def __init__(self, seconds: float) -> None:
        """`seconds` without a message are a pause."""
        self._seconds = seconds
        self._timers: dict[str, tuple[asyncio.TimerHandle, Callable[[], object]]] = {}

    def start(self, place: str, due: Callable[[], object]) -> None:
        """Call `due` after a pause, in the event loop; a timer that runs already is replaced."""
        self.cancel(place)
        handle = asyncio.get_running_loop().call_later(self._seconds, self._end, fold(place))
        self._timers[fold(place)] = handle, due

    def restart(self, place: str) -> None:
        """Begin the pause again, if a timer runs."""
        found = self._timers.get(fold(place))
        if found is not None:
            self.start(place, found[1])

    def cancel(self, place: str) -> None:
        """Stop a timer, if one runs."""
        found = self._timers.pop(fold(place), None)
        if found is not None:
            found[0].cancel()

    def close(self) -> None:
        """Stop all timers."""
        for place in list(self._timers):
            self.cancel(place)

    def _end(self, key: str) -> None:
        _, due = self._timers.pop(key)
        due()
