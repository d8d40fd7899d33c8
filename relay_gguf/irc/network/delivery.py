"""A client's message: whether it may be sent, which clients get it, and the hooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from relay_gguf.irc.protocol import ctcp
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import is_channel
from relay_gguf.irc.protocol.numerics import (
    ERR_CANNOTSENDTOCHAN,
    ERR_INPUTTOOLONG,
    ERR_NOSUCHCHANNEL,
    ERR_NOSUCHNICK,
    RPL_AWAY,
)
from relay_gguf.irc.protocol.splitting import room

from .client import Client
from .hooks import StoredMessage
from .jobs import attempt
from .message import ACTION, CTCP, REPLY_TAG, Fragment, SentMessage, lines
from .network import Network
from .user import PersonaUser, User


def deliver(
    network: Network,
    client: Client,
    verb: str,
    target: str,
    *,
    fragments: tuple[Fragment, ...],
    own_tags: Mapping[str, str],
) -> None:
    """Send a client's message to a channel or nick, with the tags that the client gave it.

    A NOTICE that cannot be delivered is dropped without an answer (RFC 2812 section 3.3.2).
    """
    user, receivers, problem = _resolve(network, client, target)
    if problem:
        if verb != "NOTICE":
            client.error(problem, target)
        return
    name = user.nick if user else _channel_name(network, target)
    when = time.time()
    tags = {**network.message_tags(client, when), **own_tags}
    message = SentMessage(client.source, verb, name, fragments, tags)
    if not message.fits:
        fits = room(client.source, verb, name)
        client.error(ERR_INPUTTOOLONG, text=f"Input line was too long: {fits} bytes of text fit")
        return
    for receiver in receivers:
        send_message(network, receiver, message, answers=False)
    if client.can("echo-message"):
        send_message(network, client, message)
    if user is None and verb != "TAGMSG":
        record(network, message, client.nick, when)
    if user and user.away and verb == "PRIVMSG":
        client.reply(RPL_AWAY, user.nick, user.away)
    if verb != "TAGMSG":
        client.spoke = time.monotonic()
        client.target = name
        _call_hooks(network, client, user, message)
    elif (state := own_tags.get("+typing")) and (user is None or isinstance(user, PersonaUser)):
        network.jobs.add(("typing", client), partial(network.hooks.typing, client, name, state))


def send_message(
    network: Network, client: Client, message: SentMessage, *, answers: bool = True
) -> None:
    """Send a message to one client, in the lines that its capabilities allow.

    `answers` tells whether it may be part of the answer to a command of this client.
    """
    ref = network.new_id() if len(message.fragments) > 1 else ""
    for line in lines(message, client.caps, ref):
        client.send(line, answers=answers)


def record(network: Network, message: SentMessage, nick: str, when: float) -> None:
    """Hand a channel's message to the hooks, which may keep it; other CTCP than ACTION is not."""
    text, kind = message.text, message.kind
    if kind == "action":
        text = text.removeprefix(ACTION).removesuffix(CTCP)
    elif text.startswith(CTCP):
        return
    msgid = message.tags.get("msgid", "")
    reply = message.tags.get(REPLY_TAG, "")
    stored = StoredMessage(when, nick, text, kind, msgid, message.source, reply)
    attempt(partial(network.hooks.spoken, message.target, stored))


def _resolve(
    network: Network, client: Client, target: str
) -> tuple[User | None, list[Client], str]:
    """The user that is the target, the clients that get the message, an error numeric or ''."""
    if not is_channel(target):
        user = network.user(target)
        return user, [user] if isinstance(user, Client) else [], "" if user else ERR_NOSUCHNICK
    channel = network.channel(target)
    if channel is None:
        return None, [], ERR_NOSUCHCHANNEL
    receivers = [other for other in channel.clients if other is not client]
    return None, receivers, "" if channel.may_speak(client) else ERR_CANNOTSENDTOCHAN


def _channel_name(network: Network, target: str) -> str:
    channel = network.channel(target)
    return channel.name if channel else target


def _call_hooks(network: Network, client: Client, user: User | None, message: SentMessage) -> None:
    """Call the hooks for a message in a channel or to a persona."""
    if user is not None and not isinstance(user, PersonaUser):
        return
    text, kind = message.text, message.kind
    if text.startswith(CTCP):
        if not text.startswith(ACTION):
            if user is not None and message.verb == "PRIVMSG":
                for answer in ctcp.answers(text):
                    client.send(network.line(user, "NOTICE", client.nick, answer))
            return
        text, kind = text.removeprefix(ACTION).rstrip(CTCP), "action"
    if kind == "privmsg" and network.hooks.overheard(client, message.target, text):
        return
    job = partial(network.hooks.messaged, client, message.target, text, kind, text.split("\n"))
    if not network.enqueue(client if user else message.target, job):
        note = "Too many messages wait for an answer; your last one was passed over."
        client.send(Line("NOTICE", (client.nick, note), network.name))
