"""MODE: of channels o v b k l and i m n t, of users i and B (RFC 2811 section 4)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from relay_gguf.irc.network.channel import Channel, Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean, full_mask, is_channel
from relay_gguf.irc.protocol.numerics import (
    ERR_BANLISTFULL,
    ERR_CHANOPRIVSNEEDED,
    ERR_NOSUCHCHANNEL,
    ERR_NOSUCHNICK,
    ERR_UMODEUNKNOWNFLAG,
    ERR_UNKNOWNMODE,
    ERR_USERNOTINCHANNEL,
    ERR_USERSDONTMATCH,
    RPL_BANLIST,
    RPL_CHANNELMODEIS,
    RPL_CREATIONTIME,
    RPL_ENDOFBANLIST,
    RPL_UMODEIS,
)

_USER_MODES = "Bi"
_FLAGS = "imnt"
_ALWAYS_VALUED = "bkov"
_MOST_LIMIT = 100_000

Change = tuple[str, str, str]
"""Sign, letter, value."""


async def mode(network: Network, client: Client, line: Line) -> None:
    """MODE target shows, MODE target +modes values sets."""
    if is_channel(line.params[0]):
        channel = network.channel(line.params[0])
        if channel is None:
            client.error(ERR_NOSUCHCHANNEL, line.params[0])
        elif len(line.params) == 1:
            client.reply(RPL_CHANNELMODEIS, channel.name, *channel.modes(client))
            client.reply(RPL_CREATIONTIME, channel.name, str(int(channel.created)))
        else:
            _set_channel(network, client, channel, line.params[1], list(line.params[2:]))
        return
    user = network.user(line.params[0])
    if user is None:
        client.error(ERR_NOSUCHNICK, line.params[0])
    elif user is not client:
        client.error(ERR_USERSDONTMATCH)
    elif len(line.params) == 1:
        client.reply(RPL_UMODEIS, "+" + "".join(sorted(client.modes)))
    else:
        _set_user(network, client, line.params[1])


def _set_user(network: Network, client: Client, letters: str) -> None:
    done: list[Change] = []
    for sign, letter in _signed(letters):
        if letter not in _USER_MODES:
            client.error(ERR_UMODEUNKNOWNFLAG)
        elif (letter in client.modes) != (sign == "+"):
            (client.modes.add if sign == "+" else client.modes.discard)(letter)
            done.append((sign, letter, ""))
    if done:
        client.send(network.line(client, "MODE", client.nick, *_spelled(done)))


def _set_channel(
    network: Network, client: Client, channel: Channel, letters: str, values: list[str]
) -> None:
    done: list[Change] = []
    refused = listed = False
    for sign, letter in _signed(letters):
        if letter == "b" and not values:
            if not listed:
                _send_bans(client, channel)
            listed = True
        elif letter not in _FLAGS and letter not in _ALWAYS_VALUED and letter != "l":
            client.error(ERR_UNKNOWNMODE, letter)
        elif not channel.is_op(client):
            if not refused:
                client.error(ERR_CHANOPRIVSNEEDED, channel.name)
            refused = True
        elif letter in _FLAGS:
            if (letter in channel.flags) != (sign == "+"):
                (channel.flags.add if sign == "+" else channel.flags.discard)(letter)
                done.append((sign, letter, ""))
        else:
            valued = letter in _ALWAYS_VALUED or sign == "+"
            value = values.pop(0) if valued and values else ""
            shown = _set_valued(network, client, channel, sign, letter, value)
            if shown is not None:
                done.append((sign, letter, shown))
    if done:
        channel.send(network.line(client, "MODE", channel.name, *_spelled(done)))


def _set_valued(
    network: Network, client: Client, channel: Channel, sign: str, letter: str, value: str
) -> str | None:
    """Set a mode that has a value; the value to show, None if nothing has changed."""
    sets = sign == "+"
    match letter:
        case "l":
            wanted = int(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0
            changed = (wanted > 0) if sets else (channel.limit > 0)
            if not changed:
                return None
            channel.limit = min(wanted, _MOST_LIMIT) if sets else 0
            return str(channel.limit) if sets else ""
        case "k":
            key = clean(value, network.limits.key).replace(" ", "").replace(",", "").lstrip(":")
            if not (key if sets else channel.key):
                return None
            channel.key, shown = (key, key) if sets else ("", "*")
            return shown
        case "b":
            return _set_ban(network, client, channel, sets, value)
    user = network.user(value)
    if user is None:
        if value:
            client.error(ERR_NOSUCHNICK, value)
        return None
    if user not in channel.members:
        client.error(ERR_USERNOTINCHANNEL, user.nick, channel.name)
        return None
    modes = channel.members[user]
    if (letter in modes) == sets:
        return None
    (modes.add if sets else modes.discard)(letter)
    return user.nick


def _set_ban(
    network: Network, client: Client, channel: Channel, sets: bool, value: str
) -> str | None:
    mask = full_mask(clean(value, network.limits.reason).replace(" ", "_"))
    if not sets:
        return mask if channel.bans.pop(mask, None) else None
    if mask in channel.bans:
        return None
    if len(channel.bans) >= network.limits.bans:
        client.error(ERR_BANLISTFULL, channel.name, mask)
        return None
    channel.bans[mask] = Topic(mask, client.source, time.time())
    return mask


def _send_bans(client: Client, channel: Channel) -> None:
    for mask, ban in channel.bans.items():
        client.reply(RPL_BANLIST, channel.name, mask, ban.by, str(int(ban.when)))
    client.reply(RPL_ENDOFBANLIST, channel.name, "End of channel ban list")


def _signed(letters: str) -> Iterator[tuple[str, str]]:
    """Each letter with the last sign before it; + without any."""
    sign = "+"
    for letter in letters:
        if letter in "+-":
            sign = letter
        else:
            yield sign, letter


def _spelled(changes: list[Change]) -> list[str]:
    """Changes as parameters: letters with a sign where it changes, then the values."""
    letters, last = "", ""
    for sign, letter, _ in changes:
        letters += letter if sign == last else sign + letter
        last = sign
    return [letters, *(value for _, _, value in changes if value)]
