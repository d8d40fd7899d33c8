"""MODE of channels and of users (RFC 2811 section 4)."""

from __future__ import annotations

import time

from relay_gguf.irc.network.channel import Ban, Channel
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import (
    ALWAYS_VALUED,
    BAN,
    FLAGS,
    KEY,
    LIMIT,
    SECRET,
    SERVER_OPERATOR,
    USER_MODES,
    VALUED,
    ModeChange,
    signed_letters,
    spell_changes,
)
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

_MOST_LIMIT = 100_000


async def mode(network: Network, client: Client, line: Line) -> None:
    """MODE target shows the modes, MODE target +modes values changes them."""
    if is_channel(line.params[0]):
        channel = network.channel(line.params[0])
        if channel is None:
            client.error(ERR_NOSUCHCHANNEL, line.params[0])
        elif len(line.params) == 1:
            client.reply(RPL_CHANNELMODEIS, channel.name, *channel.modes(client))
            client.reply(RPL_CREATIONTIME, channel.name, str(int(channel.created)))
        else:
            _change_channel(network, client, channel, line.params[1], list(line.params[2:]))
        return
    user = network.user(line.params[0])
    if user is None:
        client.error(ERR_NOSUCHNICK, line.params[0])
    elif user is not client:
        client.error(ERR_USERSDONTMATCH)
    elif len(line.params) == 1:
        client.reply(RPL_UMODEIS, "+" + "".join(sorted(client.modes)))
    else:
        _change_user(network, client, line.params[1])


def _change_user(network: Network, client: Client, letters: str) -> None:
    done: list[ModeChange] = []
    for sign, letter in signed_letters(letters):
        if letter not in USER_MODES:
            client.error(ERR_UMODEUNKNOWNFLAG)
        elif letter == SERVER_OPERATOR and sign == "+":
            continue  # OPER does that (RFC 2812 section 3.1.5)
        elif _changes(client.modes, sign, letter):
            done.append(ModeChange(sign, letter))
    if done:
        client.send(network.line(client, "MODE", client.nick, *spell_changes(done)))


def _change_channel(
    network: Network, client: Client, channel: Channel, letters: str, values: list[str]
) -> None:
    done: list[ModeChange] = []
    refused = listed = False
    for sign, letter in signed_letters(letters):
        if letter == BAN and not values:
            if not listed:
                _send_bans(client, channel)
            listed = True
        elif letter not in FLAGS + VALUED:
            client.error(ERR_UNKNOWNMODE, letter)
        elif not channel.is_op(client):
            if not refused:
                client.error(ERR_CHANOPRIVSNEEDED, channel.name)
            refused = True
        elif letter in FLAGS:
            if _changes(channel.flags, sign, letter):
                done.append(ModeChange(sign, letter))
                if letter == SECRET:
                    network.hooks.secret.change(channel.name, secret=sign == "+")
        else:
            valued = letter in ALWAYS_VALUED or sign == "+"
            wanted = ModeChange(sign, letter, values.pop(0) if valued and values else "")
            shown = _change_valued(network, client, channel, wanted)
            if shown is not None:
                done.append(ModeChange(sign, letter, shown))
    if done:
        channel.send(network.line(client, "MODE", channel.name, *spell_changes(done)))


def _changes(modes: set[str], sign: str, letter: str) -> bool:
    """Set or remove a mode without a value; whether that changed anything."""
    if (letter in modes) == (sign == "+"):
        return False
    (modes.add if sign == "+" else modes.discard)(letter)
    return True


def _change_valued(
    network: Network, client: Client, channel: Channel, change: ModeChange
) -> str | None:
    """Set or remove a mode with a value; the value to show, None if nothing has changed."""
    sign, letter, value = change
    sets = sign == "+"
    if letter == LIMIT:
        wanted = int(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0
        changed = (wanted > 0) if sets else (channel.limit > 0)
        if not changed:
            return None
        channel.limit = min(wanted, _MOST_LIMIT) if sets else 0
        return str(channel.limit) if sets else ""
    if letter == KEY:
        key = clean(value, network.limits.key).replace(" ", "").replace(",", "").lstrip(":")
        if not (key if sets else channel.key):
            return None
        channel.key, shown = (key, key) if sets else ("", "*")
        return shown
    if letter == BAN:
        return _change_ban(network, client, channel, sets, value)
    user = network.user(value)
    if user is None:
        if value:
            client.error(ERR_NOSUCHNICK, value)
        return None
    if user not in channel.members:
        client.error(ERR_USERNOTINCHANNEL, user.nick, channel.name)
        return None
    return user.nick if _changes(channel.members[user], sign, letter) else None


def _change_ban(
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
    channel.bans[mask] = Ban(client.source, time.time())
    return mask


def _send_bans(client: Client, channel: Channel) -> None:
    for mask, ban in channel.bans.items():
        client.reply(RPL_BANLIST, channel.name, mask, ban.by, str(int(ban.when)))
    client.reply(RPL_ENDOFBANLIST, channel.name, "End of channel ban list")
