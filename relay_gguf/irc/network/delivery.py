"""A message on its way from a client: to whom, whether it may, and what the resident hears."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from relay_gguf.irc.protocol import ctcp
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import fold, is_channel
from relay_gguf.irc.protocol.numerics import (
    ERR_CANNOTSENDTOCHAN,
    ERR_INPUTTOOLONG,
    ERR_NOSUCHCHANNEL,
    ERR_NOSUCHNICK,
    RPL_AWAY,
)
from relay_gguf.irc.protocol.splitting import room

from .client import Client
from .hooks import Kind
from .message import ACTION, CTCP, Part, Speech, lines
from .network import Network
from .user import Local, User


def deliver(
    network: Network,
    client: Client,
    verb: str,
    target: str,
    parts: tuple[Part, ...],
    own_tags: Mapping[str, str],
) -> None:
    """Send a client's message to a channel or nick, with the tags that the client gave it.

    A NOTICE that cannot be delivered is dropped without an answer (RFC 2812 section 3.3.2).
    """
    user, hearers, problem = _resolve(network, client, target)
    if problem:
        if verb != "NOTICE":
            client.error(problem, target)
        return
    name = user.nick if user else _channel_name(network, target)
    tags = {**network.line(client, verb).tags, "msgid": network.new_id(), **own_tags}
    speech = Speech(client.source, verb, name, parts, tags)
    if not speech.fits:
        fits = room(client.source, verb, name)
        client.error(ERR_INPUTTOOLONG, text=f"Input line was too long: {fits} bytes of text fit")
        return
    for hearer in hearers:
        hand(network, hearer, speech)
    if client.can("echo-message"):
        hand(network, client, speech)
    if user and user.away and verb == "PRIVMSG":
        client.reply(RPL_AWAY, user.nick, user.away)
    if verb != "TAGMSG":
        client.spoke = time.monotonic()
        client.target = name
        _tell(network, client, user, speech)
    elif (state := own_tags.get("+typing")) and (user is None or isinstance(user, Local)):
        network.errands.add(
            ("typing", client), partial(network.resident.typing, client, name, state)
        )


def hand(network: Network, client: Client, speech: Speech) -> None:
    """Give a message to one client, in the form that it understands."""
    ref = network.new_id() if len(speech.parts) > 1 else ""
    for line in lines(speech, client.caps, ref):
        client.send(line)


def _resolve(
    network: Network, client: Client, target: str
) -> tuple[User | None, list[Client], str]:
    """The user meant, the clients that get the message, and the numeric that forbids it."""
    if not is_channel(target):
        user = network.user(target)
        return user, [user] if isinstance(user, Client) else [], "" if user else ERR_NOSUCHNICK
    channel = network.channel(target)
    if channel is None:
        return None, [], ERR_NOSUCHCHANNEL
    hearers = [other for other in channel.clients if other is not client]
    return None, hearers, "" if channel.may_speak(client) else ERR_CANNOTSENDTOCHAN


def _channel_name(network: Network, target: str) -> str:
    channel = network.channel(target)
    return channel.name if channel else target


def _tell(network: Network, client: Client, user: User | None, speech: Speech) -> None:
    """Let the resident hear what was said in a channel or to a persona."""
    if user is not None and not isinstance(user, Local):
        return
    text = speech.text
    kind: Kind = "notice" if speech.verb == "NOTICE" else "privmsg"
    if text.startswith(CTCP):
        if not text.startswith(ACTION):
            if user is not None and kind == "privmsg":
                for answer in ctcp.answers(text):
                    client.send(network.line(user, "NOTICE", client.nick, answer))
            return
        text, kind = text.removeprefix(ACTION).rstrip(CTCP), "action"
    if kind == "privmsg" and network.resident.overheard(client, speech.target, text):
        return
    job = partial(network.resident.messaged, client, speech.target, text, kind, text.split("\n"))
    if not network.errands.add(client if user else fold(speech.target), job):
        note = "Too many messages wait for an answer; your last one was passed over."
        client.send(Line("NOTICE", (client.nick, note), network.name))
