"""TOPIC and NAMES: what a channel is about and who is in it."""

from __future__ import annotations

import time
from functools import partial

from relay_gguf.irc.network.channel import Channel, Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean, is_channel
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
        change(channel, text, client.source, network.line(client, "TOPIC", channel.name, text))
        job = partial(network.resident.topic_changed, client, channel.name, text)
        network.tell(channel.name, job)


async def names(network: Network, client: Client, line: Line) -> None:
    """NAMES [channels]."""
    asked = line.params[0].split(",")[:_MOST_CHANNELS] if line.params else []
    for name in filter(is_channel, asked):
        channel = network.channel(name)
        if channel is not None:
            send_names(network, client, channel)
        else:
            client.reply(RPL_ENDOFNAMES, name, "End of /NAMES list")
    if not line.params:
        for channel in list(network.channels.values())[:_MOST_CHANNELS]:
            _send_nicks(network, client, channel)
        client.reply(RPL_ENDOFNAMES, "*", "End of /NAMES list")


def change(channel: Channel, text: str, by: str, told: Line) -> None:
    """Set a channel's topic, or remove it, and let `told` say so to all in it."""
    channel.topic = Topic(text, by, time.time()) if text else None
    channel.send(told)


def send_topic(client: Client, channel: Channel) -> None:
    """The topic, who set it and when; or that there is none."""
    topic = channel.topic
    if topic is None:
        client.reply(RPL_NOTOPIC, channel.name, "No topic is set")
    else:
        client.reply(RPL_TOPIC, channel.name, topic.text)
        client.reply(RPL_TOPICWHOTIME, channel.name, topic.by, str(int(topic.when)))


def send_names(network: Network, client: Client, channel: Channel) -> None:
    """Who is in a channel, in as many lines as that takes."""
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
        client.reply(RPL_NAMREPLY, "=", channel.name, chunk)
