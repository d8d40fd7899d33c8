"""The address of a worker: HOST[:PORT]."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from relay_gguf.errors import SettingsError, WorkerError

PORT: Final = 50052
"""The port of llama.cpp's own rpc-server."""
MOST: Final = 15
"""The largest number of workers: llama.cpp's scheduler has room for 16 devices, one is the CPU."""
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")

Reach = Literal["loopback", "private", "public"]


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host's name or IPv4 address, and a TCP port."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in a text like `10.0.0.7` or `attic:50053`.

    Raises:
        WorkerError: it is not HOST or HOST:PORT.
    """
    host, colon, port = text.strip().partition(":")
    if ":" in port:
        raise WorkerError(
            f"Worker {text!r}: llama.cpp's workers have IPv4 addresses only. Name it as HOST:PORT, "
            "with a name or an address like 10.0.0.7."
        )
    if not _NAME.fullmatch(host):
        raise WorkerError(
            f"Worker {text!r} has no host: name it as HOST:PORT, like 10.0.0.7:{PORT}."
        )
    if not colon:
        return Address(host)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise WorkerError(
            f"Worker {text!r}: {port!r} is not a port. It must be a number from 1 to 65535; the "
            f"default is {PORT}."
        )
    return Address(host, int(port))


def parse_addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    """The addresses in several texts, in order, each once.

    Raises:
        WorkerError: a text is not HOST or HOST:PORT.
        SettingsError: there are more than `MOST`.
    """
    found = tuple(dict.fromkeys(parse_address(text) for text in texts))
    if len(found) > MOST:
        raise SettingsError(f"There are {len(found)} workers; llama.cpp takes at most {MOST}.")
    return found


def reach(number: str) -> Reach:
    """Who can reach a server at an IPv4 address: this machine, its network, or anybody.

    0.0.0.0, every address that the machine has, is as public as the most public of them.
    """
    address = ipaddress.IPv4Address(number)
    if address.is_loopback:
        return "loopback"
    if address.is_private and not address.is_unspecified and not address.is_reserved:
        return "private"
    if address in ipaddress.IPv4Network("100.64.0.0/10"):  # used by carriers, and by Tailscale
        return "private"
    return "public"
