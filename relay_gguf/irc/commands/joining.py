"""JOIN, PART, KICK, INVITE: the members of a channel (RFC 2812 section 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest

from relay_gguf.irc.network.channel import Channel
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import StoredMessage
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.network.user import PersonaUser
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import INVITE_ONLY, OPERATOR
from relay_gguf.irc.protocol.names import clean, fold, valid_channel
from relay_gguf.irc.protocol.numerics import (
    ERR_BADCHANNELKEY,
    ERR_BANNEDFROMCHAN,
    ERR_CHANNELISFULL,
    ERR_CHANOPRIVSNEEDED,
    ERR_INVITEONLYCHAN,
    ERR_NEEDMOREPARAMS,
    ERR_NOSUCHCHANNEL,
    ERR_NOSUCHNICK,
    ERR_NOTONCHANNEL,
    ERR_TOOMANYCHANNELS,
    ERR_USERNOTINCHANNEL,
    ERR_USERONCHANNEL,
    RPL_INVITING,
)

from . import history
from .topics import send_names, send_topic
from .unknown import forward


async def join(network: Network, client: Client, line: Line) -> None:
    """JOIN channels [keys]; JOIN 0 leaves all channels."""
    if line.params[0] == "0":
        for channel in network.channels_of(client):
            _part(network, client, channel, "")
        return
    names = [name for name in line.params[0].split(",") if name]
    if not names:
        client.error(ERR_NEEDMOREPARAMS, "JOIN")
    keys = line.params[1].split(",") if len(line.params) > 1 else []
    for name, key in zip_longest(names, keys[: len(names)], fillvalue=""):
        await _enter(network, client, name, key)


async def part(network: Network, client: Client, line: Line) -> None:
    """PART channels [:reason]."""
    reason = clean(line.params[1], network.limits.reason) if len(line.params) > 1 else ""
    for name in filter(None, line.params[0].split(",")):
        channel = _own_channel(network, client, name)
        if channel is not None:
            _part(network, client, channel, reason)


async def kick(network: Network, client: Client, line: Line) -> None:
    """KICK channel nicks [:reason], or as many channels as nicks (RFC 2812 section 3.2.8)."""
    names = [name for name in line.params[0].split(",") if name]
    nicks = [nick for nick in line.params[1].split(",") if nick]
    reason = clean(line.params[2], network.limits.reason) if len(line.params) > 2 else ""
    if len(names) == 1:
        await _kick(network, client, names[0], nicks, reason)
    elif len(names) != len(nicks):
        client.error(ERR_NEEDMOREPARAMS, "KICK")
    else:
        for name, nick in zip(names, nicks, strict=True):
            await _kick(network, client, name, [nick], reason)


async def _kick(
    network: Network, client: Client, name: str, nicks: Sequence[str], reason: str
) -> None:
    """Kick users out of one channel; to kick a persona is a command for the hooks."""
    channel = _own_channel(network, client, name)
    if channel is None:
        return
    if not channel.is_op(client):
        client.error(ERR_CHANOPRIVSNEEDED, channel.name)
        return
    for nick in nicks:
        victim = network.user(nick)
        if victim is None:
            client.error(ERR_NOSUCHNICK, nick)
        elif victim not in channel.members:
            client.error(ERR_USERNOTINCHANNEL, victim.nick, channel.name)
        elif not isinstance(victim, Client):
            raw = " ".join(["KICK", channel.name, victim.nick, reason]).rstrip()
            await forward(network, client, "KICK", (channel.name, victim.nick, reason), raw)
        else:
            told = network.line(client, "KICK", channel.name, victim.nick, reason or client.nick)
            channel.send(told)
            network.leave(victim, channel)


async def invite(network: Network, client: Client, line: Line) -> None:
    """INVITE nick channel: lets a user join once where +i keeps others out, or brings a persona."""
    user = network.user(line.params[0])
    channel = _own_channel(network, client, line.params[1])
    if channel is None:
        return
    if user is None:
        client.error(ERR_NOSUCHNICK, line.params[0])
    elif user in channel.members:
        client.error(ERR_USERONCHANNEL, user.nick, channel.name)
    elif INVITE_ONLY in channel.flags and not channel.is_op(client):
        client.error(ERR_CHANOPRIVSNEEDED, channel.name)
    elif isinstance(user, PersonaUser):
        client.reply(RPL_INVITING, user.nick, channel.name)
        job = partial(network.hooks.invited, client, user.nick, channel.name)
        network.enqueue(channel.name, job)
    else:
        if len(channel.invited) < network.limits.clients:
            channel.invited.add(fold(user.nick))
        client.reply(RPL_INVITING, user.nick, channel.name)
        user.send(network.line(client, "INVITE", user.nick, channel.name))


async def _enter(network: Network, client: Client, name: str, key: str) -> None:
    """Let a client into a channel, or send the error that keeps it out.

    The hooks are asked before anything changes: until they answer, others come and go.
    """
    if not valid_channel(name, network.limits.channel):
        client.error(ERR_NOSUCHCHANNEL, name)
        return
    topic, past = await asyncio.gather(
        network.ask(network.hooks.topic(name), None),
        network.ask(network.hooks.replay(client, name, network.limits.replay), ()),
    )
    if client.gone or fold(name) in client.channels:
        return
    if len(client.channels) >= network.limits.channels:
        client.error(ERR_TOOMANYCHANNELS, name)
        return
    channel = network.channel(name)
    problem = _keeps_out(channel, client, key) if channel else ""
    if problem:
        client.error(problem, name)
        return
    _arrive(network, client, network.open(name, topic), past)


def _arrive(
    network: Network, client: Client, channel: Channel, past: Sequence[StoredMessage]
) -> None:
    first = not channel.clients
    channel.invited.discard(fold(client.nick))
    client.channels[fold(channel.name)] = None
    client.target = channel.name
    network.enter(client, channel, {OPERATOR} if first else set())
    if client.away:
        told = network.line(client, "AWAY", client.away)
        channel.send(told, but=client, cap="away-notify")
    if channel.topic:
        send_topic(client, channel)
    send_names(network, client, channel)
    history.replay(network, client, channel.name, past)
    network.enqueue(channel.name, partial(network.hooks.joined, client, channel.name))


def _keeps_out(channel: Channel, client: Client, key: str) -> str:
    """The error numeric that keeps a client out; '' if it may join."""
    if channel.is_invited(client):
        return ""
    if INVITE_ONLY in channel.flags:
        return ERR_INVITEONLYCHAN
    if channel.is_banned(client):
        return ERR_BANNEDFROMCHAN
    if channel.key and key != channel.key:
        return ERR_BADCHANNELKEY
    if channel.limit and len(channel.clients) >= channel.limit:
        return ERR_CHANNELISFULL
    return ""


def _part(network: Network, client: Client, channel: Channel, reason: str) -> None:
    channel.send(network.line(client, "PART", channel.name, *([reason] if reason else [])))
    network.leave(client, channel)


def _own_channel(network: Network, client: Client, name: str) -> Channel | None:
    """The channel of this name if a client is in it; else None, and the client gets an error."""
    channel = network.channel(name)
    if channel is None:
        client.error(ERR_NOSUCHCHANNEL, name)
    elif client not in channel.members:
        client.error(ERR_NOTONCHANNEL, channel.name)
    else:
        return channel
    return None
