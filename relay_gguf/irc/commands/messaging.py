"""PRIVMSG, NOTICE, TAGMSG and AWAY (RFC 2812 sections 3.3 and 4.1, IRCv3 message-tags)."""

from __future__ import annotations

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.delivery import deliver
from relay_gguf.irc.network.message import Fragment
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.numerics import (
    ERR_NORECIPIENT,
    ERR_NOTEXTTOSEND,
    ERR_TOOMANYTARGETS,
    RPL_NOWAWAY,
    RPL_UNAWAY,
)

from . import multiline


async def message(network: Network, client: Client, line: Line) -> None:
    """PRIVMSG targets :text, or NOTICE targets :text, to which no error is sent."""
    verb = line.verb.upper()
    quiet = verb == "NOTICE"
    if not line.params or not line.params[0]:
        if not quiet:
            client.error(ERR_NORECIPIENT, text=f"No recipient given ({verb})")
    elif "batch" in line.tags and client.can("batch", "draft/multiline") and line.params[1:]:
        multiline.collect(network, client, line)
    elif not line.params[1:] or not line.params[1]:
        if not quiet:
            client.error(ERR_NOTEXTTOSEND)
    else:
        _send(network, client, line, (Fragment(line.params[1]),))


async def tagmsg(network: Network, client: Client, line: Line) -> None:
    """TAGMSG targets: a message of tags alone, such as `+typing`."""
    if not line.params or not line.params[0]:
        client.error(ERR_NORECIPIENT, text="No recipient given (TAGMSG)")
    else:
        _send(network, client, line, ())


async def away(network: Network, client: Client, line: Line) -> None:
    """AWAY :reason, or AWAY to be back."""
    client.away = clean(line.params[0], network.limits.reason) if line.params else ""
    if client.away:
        client.reply(RPL_NOWAWAY, "You have been marked as being away")
    else:
        client.reply(RPL_UNAWAY, "You are no longer marked as being away")
    told = network.line(client, "AWAY", *([client.away] if client.away else []))
    for other in network.neighbours(client):
        if other.can("away-notify"):
            other.send(told)


def _send(network: Network, client: Client, line: Line, fragments: tuple[Fragment, ...]) -> None:
    targets = list(dict.fromkeys(filter(None, line.params[0].split(","))))
    if len(targets) > network.limits.targets:
        client.error(ERR_TOOMANYTARGETS, line.params[0])
        return
    verb, tags = line.verb.upper(), multiline.client_only_tags(line)
    for target in targets:
        deliver(network, client, verb, target, fragments=fragments, own_tags=tags)
