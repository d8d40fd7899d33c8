"""A channel's history: shown on a join, and asked for with CHATHISTORY.

IRCv3 chathistory batches; of draft/chathistory LATEST, BEFORE and AFTER.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.delivery import send_message
from relay_gguf.irc.network.hooks import StoredMessage
from relay_gguf.irc.network.message import REPLY_TAG, SentMessage, compose
from relay_gguf.irc.network.network import Network, server_time
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean_user, fold

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?Z")
_DEPTH = 5000
"""Stored messages among which the point of a CHATHISTORY is looked for."""


def replay(network: Network, client: Client, channel: str, past: Sequence[StoredMessage]) -> None:
    """Show a client that joins the history; with draft/chathistory it asks for it by itself.

    A client without batches gets notices of the server around it, and one without server-time the
    time in front of each line: it would take them for messages of now.
    """
    if not past or client.can("draft/chathistory"):
        return
    if not client.can("server-time"):
        past = [_stamped(message) for message in past]
    if client.can("batch"):
        _show(network, client, channel, past)
        return
    count = f"{len(past)} messages" if len(past) > 1 else "1 message"
    client.send(Line("NOTICE", (channel, f"Playback of {channel}: {count}"), network.name))
    _show(network, client, channel, past)
    client.send(Line("NOTICE", (channel, "End of the playback"), network.name))


async def chathistory(network: Network, client: Client, line: Line) -> None:
    """CHATHISTORY LATEST|BEFORE|AFTER channel point limit.

    A point is `*`, `timestamp=...` or `msgid=...`. A channel that the client is not in has an
    empty history.
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
    found: Sequence[StoredMessage] = ()
    channel = network.channel(target)
    if channel is not None and fold(target) in client.channels:
        target = channel.name
        depth = network.limits.history if point == "*" else _DEPTH
        found = await network.ask(network.hooks.history(target, depth), ())
        selected = _select(found, command, point, min(int(amount), network.limits.history))
        if selected is None:
            client.fail("CHATHISTORY", "INVALID_PARAMS", command, target, "Invalid point")
            return
        found = selected
    _show(network, client, target, found)


def _select(
    past: Sequence[StoredMessage], command: str, point: str, most: int
) -> Sequence[StoredMessage] | None:
    """The messages before or after a point, `most` at most, oldest first.

    None if the point cannot be read; a message id that is not found selects nothing.
    """
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


def _show(network: Network, client: Client, channel: str, past: Sequence[StoredMessage]) -> None:
    ref = network.new_id()
    if client.can("batch"):
        client.send(Line("BATCH", (f"+{ref}", "chathistory", channel), network.name))
    for message in past:
        for sent in _resent(network, channel, message, ref):
            send_message(network, client, sent)
    if client.can("batch"):
        client.send(Line("BATCH", (f"-{ref}",), network.name))


def _resent(
    network: Network, channel: str, message: StoredMessage, ref: str
) -> Iterator[SentMessage]:
    """A stored message as it is sent in the batch `ref`."""
    name = clean_user(message.nick, network.limits.nick)
    source = message.source or f"{name}!{name}@{network.name}"
    tags = {"batch": ref, "time": server_time(message.time)}
    if message.msgid:
        tags["msgid"] = message.msgid
    if message.reply:
        tags[REPLY_TAG] = message.reply
    for verb, fragments in compose(source, channel, message.text, message.kind, network.limits):
        yield SentMessage(source, verb, channel, fragments, tags)
        tags = {name: value for name, value in tags.items() if name != "msgid"}


def _stamped(message: StoredMessage) -> StoredMessage:
    """A message with the server's local time in front of each line, as bouncers have it."""
    stamp = time.strftime("[%H:%M:%S] ", time.localtime(message.time))
    return replace(message, text="\n".join(stamp + line for line in message.text.split("\n")))


def _unix(stamp: str) -> int | None:
    """The Unix time of `YYYY-MM-DDThh:mm:ss.sssZ` in milliseconds; None if it is not a time."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return seconds * 1000 + int((match[2] or "0").ljust(3, "0"))
