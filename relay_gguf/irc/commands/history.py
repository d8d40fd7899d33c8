"""What was said before: shown to who joins, and asked for with CHATHISTORY.

IRCv3 chathistory batches and draft/chathistory, as far as LATEST, BEFORE and AFTER.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Sequence

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.delivery import hand
from relay_gguf.irc.network.hooks import Past
from relay_gguf.irc.network.message import Speech, compose
from relay_gguf.irc.network.network import Network, clock
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean_user, fold

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?Z")
_DEPTH = 5000
"""Messages that are looked through for the one that a client names."""


def replay(network: Network, client: Client, channel: str, past: Sequence[Past]) -> None:
    """Show who joins what was said, if their client can tell old from new.

    A client without server-time would take it for something said now, and one with
    draft/chathistory asks by itself.
    """
    if past and client.can("server-time") and not client.can("draft/chathistory"):
        _show(network, client, channel, past)


async def chathistory(network: Network, client: Client, line: Line) -> None:
    """CHATHISTORY LATEST|BEFORE|AFTER channel point limit.

    A point is `*`, `timestamp=...` or `msgid=...`. Of a channel that the client is not in, nothing
    is said.
    """
    command, *rest = [*line.params, ""]
    command = command.upper()
    if command not in ("LATEST", "BEFORE", "AFTER"):
        client.fail("CHATHISTORY", "INVALID_PARAMS", command or "*", "Unknown command")
        return
    if len(line.params) < 4:
        client.fail("CHATHISTORY", "NEED_MORE_PARAMS", command, "Missing parameters")
        return
    target, point, amount = rest[:3]
    if not (amount.isascii() and amount.isdigit() and len(amount) < 9):
        client.fail("CHATHISTORY", "INVALID_PARAMS", command, target, "Invalid limit")
        return
    found: Sequence[Past] = ()
    channel = client.channels.get(fold(target))
    if channel is not None:
        target = channel.name
        depth = network.limits.history if point == "*" else _DEPTH
        found = await network.ask(network.resident.history(target, depth), ())
        selected = _select(found, command, point, min(int(amount), network.limits.history))
        if selected is None:
            client.fail("CHATHISTORY", "INVALID_PARAMS", command, target, "Invalid point")
            return
        found = selected
    _show(network, client, target, found)


def _select(past: Sequence[Past], command: str, point: str, most: int) -> Sequence[Past] | None:
    """The messages meant, oldest first; None for a point that is none."""
    kind, _, value = point.partition("=")
    begin, end = 0, len(past)
    if kind == "msgid":
        at = next((n for n, message in enumerate(past) if message.msgid == value), None)
        if at is None:
            return ()
        begin, end = at + 1, at
    elif kind == "timestamp":
        when = _unix(value)
        if when is None:
            return None
        # Compared in the milliseconds that clients are told.
        stamps = [int(message.time * 1000) for message in past]
        begin = sum(stamp <= when for stamp in stamps)
        end = sum(stamp < when for stamp in stamps)
    elif point != "*" or command != "LATEST":
        return None
    if command == "BEFORE":
        return past[max(end - most, 0) : end]
    later = past[begin:]
    return later[:most] if command == "AFTER" else later[max(len(later) - most, 0) :]


def _show(network: Network, client: Client, channel: str, past: Sequence[Past]) -> None:
    ref = network.new_id()
    if client.can("batch"):
        client.send(Line("BATCH", (f"+{ref}", "chathistory", channel), network.name))
    for message in past:
        for speech in _spoken(network, channel, message, ref):
            hand(network, client, speech)
    if client.can("batch"):
        client.send(Line("BATCH", (f"-{ref}",), network.name))


def _spoken(network: Network, channel: str, message: Past, ref: str) -> Iterator[Speech]:
    user = network.users.get(fold(message.nick))
    name = clean_user(message.nick, network.limits.nick)
    source = user.source if user else f"{name}!{name}@{network.name}"
    tags = {"batch": ref, "time": clock(message.time)}
    if message.msgid:
        tags["msgid"] = message.msgid
    for verb, parts in compose(source, channel, message.text, message.kind, network.limits):
        yield Speech(source, verb, channel, parts, tags)
        tags = {name: value for name, value in tags.items() if name != "msgid"}


def _unix(stamp: str) -> int | None:
    """Milliseconds of `YYYY-MM-DDThh:mm:ss.sssZ`."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return seconds * 1000 + int((match[2] or "0").ljust(3, "0"))
