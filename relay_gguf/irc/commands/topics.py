"""TOPIC and NAMES: what a channel is about, and its members (RFC 2812 section 3.2)."""

from __future__ import annotations

from functools import partial

from relay_gguf.irc.network.channel import Channel
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.numerics import (
    ERR_CHANOPRIVSNEEDED,
    ERR_NOSUCHCHANNEL,
    ERR_NOTONCHANNEL,
    RPL_ENDOFNAMES,
    RPL_NAMREPLY,
    RPL_NOTOPIC,
    RPL_TOPIC,
    RPL_TOPICWHOTIME,
)
from relay_gguf.irc.protocol.splitting import chunks, room

_MOST_CHANNELS = 100


async def topic(network: Network, client: Client, line: Line) -> None:
    """TOPIC channel shows it, TOPIC channel :text sets it, TOPIC channel : removes it."""
    channel = network.channel(line.params[0])
    if channel is None:
        client.error(ERR_NOSUCHCHANNEL, line.params[0])
    elif client not in channel.members:
        client.error(ERR_NOTONCHANNEL, channel.name)
    elif len(line.params) == 1:
        send_topic(client, channel)
    elif "t" in channel.flags and not channel.is_op(client):
        client.error(ERR_CHANOPRIVSNEEDED, channel.name)
    else:
        text = clean(line.params[1], network.limits.topic)
        told = network.line(client, "TOPIC", channel.name, text)
        channel.set_topic(text, client.source, told)
        job = partial(network.hooks.topic_changed, client, channel.name, text)
        network.enqueue(channel.name, job)


async def names(network: Network, client: Client, line: Line) -> None:
    """NAMES [channels]: the members of these channels, or of all; one 366 ends the list."""
    asked = line.params[0].split(",") if line.params else list(network.channels)
    found = [network.channel(name) for name in dict.fromkeys(asked[:_MOST_CHANNELS])]
    for channel in found:
        if channel is not None and not channel.is_hidden(client):
            _send_nicks(network, client, channel)
    name = line.params[0] if line.params else "*"
    if len(found) == 1 and line.params and found[0] is not None:
        name = found[0].name
    client.reply(RPL_ENDOFNAMES, name, "End of /NAMES list")


def send_topic(client: Client, channel: Channel) -> None:
    """Send 332 and 333 (the topic, who set it and when), or 331 if there is none."""
    topic = channel.topic
    if topic is None:
        client.reply(RPL_NOTOPIC, channel.name, "No topic is set")
    else:
        client.reply(RPL_TOPIC, channel.name, topic.text)
        client.reply(RPL_TOPICWHOTIME, channel.name, topic.by, str(int(topic.when)))


def send_names(network: Network, client: Client, channel: Channel) -> None:
    """Send 353 with the members of a channel, in as many lines as they take, and 366."""
    _send_nicks(network, client, channel)
    client.reply(RPL_ENDOFNAMES, channel.name, "End of /NAMES list")


def _send_nicks(network: Network, client: Client, channel: Channel) -> None:
    full = client.can("userhost-in-names")
    nicks = [
        channel.prefix(user, client) + (user.source if full else user.nick)
        for user in channel.members
    ]
    size = room(network.name, RPL_NAMREPLY, f"{client.nick} = {channel.name}")
    for chunk in chunks(nicks, size):
        client.reply(RPL_NAMREPLY, channel.symbol, channel.name, chunk)
