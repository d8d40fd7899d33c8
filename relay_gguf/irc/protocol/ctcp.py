"""Replies of a persona to CTCP requests: VERSION, PING, TIME, CLIENTINFO.

modern.ircdocs, Client-to-Client Protocol. An ACTION is a message, and not answered here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from relay_gguf.version import __version__

_PING_BYTES = 64


def answers(text: str) -> Iterator[str]:
    """The text of the NOTICE that answers a CTCP request; none if the request is not known."""
    verb, _, rest = text.strip("\x01").partition(" ")
    match verb.upper():
        case "VERSION":
            yield f"\x01VERSION relay-gguf {__version__}\x01"
        case "PING":
            yield f"\x01PING {rest[:_PING_BYTES]}\x01"
        case "TIME":
            yield f"\x01TIME {time.strftime('%a %b %d %H:%M:%S %Y')}\x01"
        case "CLIENTINFO":
            yield "\x01CLIENTINFO ACTION CLIENTINFO PING TIME VERSION\x01"
