"""What one host may do: how many connections it has, how many wrong passwords it may send."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable
from math import ceil

from .client import Client
from .limits import Limits

_MOST_HOSTS = 1000
_LOCAL = "localhost"


class HostLimits:
    """The limits on hosts, and the wrong passwords that each has sent."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        """No password was sent yet; `now` is a clock in seconds."""
        self._limits = limits
        self._now = now
        self._wrong: dict[str, tuple[float, float]] = {}
        """Host -> wrong passwords that still count, and when that was so."""

    def has_room(self, host: str, clients: Iterable[Client]) -> bool:
        """Whether the connections of a host, the newest one included, are not too many.

        Everybody on this machine is one host: it may have most of all connections.
        """
        same = host_group(host)
        count = sum(host_group(client.host) == same for client in clients)
        most = self._limits.clients - self._limits.clients // 6
        return count <= (most if host == _LOCAL else self._limits.host_clients)

    def wait(self, host: str) -> int:
        """Seconds until a password from a host is looked at again; 0 if one may come now."""
        over = self._counted(host_group(host)) - self._limits.guesses + 1
        return max(ceil(over * self._limits.guess), 0)

    def note_wrong(self, host: str) -> None:
        """A host has sent a wrong password."""
        key, now = host_group(host), self._now()
        if len(self._wrong) >= _MOST_HOSTS:
            self._wrong = {k: old for k, old in self._wrong.items() if self._counted(k) > 0}
        self._wrong[key] = (self._counted(key) + 1, now)

    def _counted(self, key: str) -> float:
        count, when = self._wrong.get(key, (0.0, 0.0))
        return max(count - (self._now() - when) / self._limits.guess, 0.0)


def longest_waiting(clients: Iterable[Client], newest: Client) -> list[Client]:
    """The clients but the newest that have not registered, the one that waits longest first."""
    waiting = [client for client in clients if not client.registered and client is not newest]
    return sorted(waiting, key=lambda client: client.spoke)


def host_group(host: str) -> str:
    """A host and all that belongs to it: of an IPv6 address the network of 64 bits."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
