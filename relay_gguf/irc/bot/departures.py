"""Who left a channel empty, and when: a client that comes back at once begins it anew."""

from __future__ import annotations

from collections.abc import Callable

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.protocol.names import fold


class Departures:
    """The last client that left each channel, for as long as coming back is a /cycle."""

    def __init__(self, rejoin: float, clock: Callable[[], float]) -> None:
        """Nobody has left yet.

        Args:
            rejoin: seconds within which coming back begins a channel anew.
            clock: in seconds.
        """
        self._rejoin = rejoin
        self._clock = clock
        self._left: dict[str, tuple[Client, float]] = {}

    def note(self, client: Client, channel: str) -> None:
        """A client has left a channel empty; those that left long ago are forgotten."""
        now = self._clock()
        recent = {key: left for key, left in self._left.items() if now - left[1] < self._rejoin}
        self._left = {**recent, fold(channel): (client, now)}

    def delay(self, client: Client, channel: str) -> None:
        """Count from now for a client that had to wait for the engine when it left."""
        key = fold(channel)
        if key in self._left and self._left[key][0] is client:
            self._left[key] = (client, self._clock())

    def is_back(self, client: Client, channel: str) -> bool:
        """Whether a client that joins now, into an empty channel, left it a moment ago."""
        who, left = self._left.get(fold(channel), (None, 0.0))
        return who is client and self._clock() - left < self._rejoin

    def forget(self, channel: str) -> None:
        """Somebody has come into a channel."""
        self._left.pop(fold(channel), None)
