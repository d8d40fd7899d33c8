"""Questions about users and channels: WHO WHOIS WHOWAS LIST ISON USERHOST (RFC 2812 3.6, 4.8)."""

from __future__ import annotations

import re
import time

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Whois
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.network.user import PersonaUser, User
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import INVISIBLE
from relay_gguf.irc.protocol.names import clean, fold, is_channel, matches
from relay_gguf.irc.protocol.numerics import (
    ERR_NONICKNAMEGIVEN,
    ERR_NOSUCHNICK,
    ERR_NOSUCHSERVER,
    ERR_WASNOSUCHNICK,
    RPL_AWAY,
    RPL_ENDOFWHO,
    RPL_ENDOFWHOIS,
    RPL_ENDOFWHOWAS,
    RPL_ISON,
    RPL_LIST,
    RPL_LISTEND,
    RPL_LISTSTART,
    RPL_USERHOST,
    RPL_WHOISBOT,
    RPL_WHOISCHANNELS,
    RPL_WHOISIDLE,
    RPL_WHOISOPERATOR,
    RPL_WHOISSERVER,
    RPL_WHOISSPECIAL,
    RPL_WHOISUSER,
    RPL_WHOREPLY,
    RPL_WHOWASUSER,
)
from relay_gguf.irc.protocol.splitting import chunks, pieces, room

_SIZE = re.compile(r"([<>])(\d{1,9})")
_MOST_USERHOSTS = 5
_MOST_FORMER = 20


async def who(network: Network, client: Client, line: Line) -> None:
    """WHO channel, or WHO mask of nicks, `o` behind it for operators; WHOX fields are ignored."""
    mask = line.params[0] if line.params else "*"
    channel = network.channel(mask) if is_channel(mask) else None
    if channel is not None and channel.is_hidden(client):
        channel = None
    users: list[User]
    if channel is not None:
        users = list(channel.members)
    elif is_channel(mask):
        users = []
    else:
        mask = "*" if mask == "0" else mask
        everyone = [*network.registered, *network.personas]
        near = {client, *network.neighbours(client), *network.personas}
        users = [
            user
            for user in everyone
            if (matches(mask, user.nick) and (INVISIBLE not in user.modes or user in near))
            or fold(mask) == fold(user.nick)
        ]
    if "o" in line.params[1:2]:
        users = [user for user in users if user.is_operator]
    for user in users:
        signs = channel.prefix(user, client) if channel else ""
        star = "*" if user.is_operator else ""
        flags = ("G" if user.away else "H") + star + signs + ("B" if user.bot else "")
        client.reply(
            RPL_WHOREPLY,
            channel.name if channel else "*",
            user.username,
            user.host,
            network.name,
            user.nick,
            flags,
            f"0 {user.realname}",
        )
    client.reply(RPL_ENDOFWHO, line.params[0] if line.params else "*", "End of /WHO list")


async def whois(network: Network, client: Client, line: Line) -> None:
    """WHOIS [server] nick; for a persona, hooks may add lines."""
    if not line.params or not line.params[-1]:
        client.error(ERR_NONICKNAMEGIVEN)
        return
    if len(line.params) > 1 and not network.is_server(line.params[0]):
        client.error(ERR_NOSUCHSERVER, line.params[0])
        return
    asked = line.params[1 if len(line.params) > 1 else 0].split(",")[0]
    user = network.user(asked)
    if user is None:
        client.error(ERR_NOSUCHNICK, asked)
    else:
        more = None
        if isinstance(user, PersonaUser):
            more = await network.ask(network.hooks.whois(client, user.nick), None)
        _send_whois(network, client, user, more or Whois())
    client.reply(RPL_ENDOFWHOIS, user.nick if user else asked, "End of /WHOIS list")


async def whowas(network: Network, client: Client, line: Line) -> None:
    """WHOWAS nick [count]: the users that had this nick, or one that a mask matches."""
    if not line.params or not line.params[0]:
        client.error(ERR_NONICKNAMEGIVEN)
        return
    asked = line.params[1] if len(line.params) > 1 else ""
    count = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0
    found = network.former.find(line.params[0], min(count or _MOST_FORMER, _MOST_FORMER))
    for user in found:
        who = (user.username, user.host, "*", user.realname)
        client.reply(RPL_WHOWASUSER, user.nick, *who)
        left = time.strftime("%a %b %d %Y %H:%M:%S UTC", time.gmtime(user.when))
        client.reply(RPL_WHOISSERVER, user.nick, network.name, left)
    if not found:
        client.error(ERR_WASNOSUCHNICK, line.params[0])
    client.reply(RPL_ENDOFWHOWAS, line.params[0], "End of WHOWAS")


async def list_channels(network: Network, client: Client, line: Line) -> None:
    """LIST [names, masks, !masks, >users, <users]: channels that are open or saved."""
    found: dict[str, tuple[str, int, str]] = {}
    for saved in await network.ask(network.hooks.list_channels(), ()):
        found[fold(saved.name)] = (saved.name, saved.count, saved.topic)
    for name, channel in network.channels.items():
        topic = channel.topic.text if channel.topic else ""
        found[name] = (channel.name, len(channel.members), topic)
        if channel.is_hidden(client):
            del found[name]
    wanted = [want for want in line.params[0].split(",") if want] if line.params else []
    client.reply(RPL_LISTSTART, "Channel", "Users  Name")
    for name, size, topic in found.values():
        if _is_wanted(name, size, wanted):
            client.reply(RPL_LIST, name, str(size), clean(topic, network.limits.topic))
    client.reply(RPL_LISTEND, "End of /LIST")


async def ison(network: Network, client: Client, line: Line) -> None:
    """ISON nicks: which of them are on the server."""
    asked = " ".join(line.params).split()
    users = dict.fromkeys(filter(None, map(network.user, asked)))
    client.reply(RPL_ISON, " ".join(user.nick for user in users))


async def userhost(network: Network, client: Client, line: Line) -> None:
    """USERHOST nicks: nick=+user@host of each, with - in place of + for a user that is away."""
    asked = line.params[:_MOST_USERHOSTS]
    users = dict.fromkeys(filter(None, map(network.user, asked)))
    told = [
        f"{u.nick}{'*' if u.is_operator else ''}={'-' if u.away else '+'}{u.username}@{u.host}"
        for u in users
    ]
    client.reply(RPL_USERHOST, " ".join(told))


def _send_whois(network: Network, client: Client, user: User, more: Whois) -> None:
    nick = user.nick
    realname = user.realname if more.realname is None else clean(more.realname)
    client.reply(RPL_WHOISUSER, nick, user.username, user.host, "*", realname)
    channels = [
        channel.prefix(user, client) + channel.name
        for channel in network.channels.values()
        if user in channel.members and not channel.is_hidden(client)
    ]
    size = room(network.name, RPL_WHOISCHANNELS, f"{client.nick} {nick}")
    for chunk in chunks(channels, size):
        client.reply(RPL_WHOISCHANNELS, nick, chunk)
    client.reply(RPL_WHOISSERVER, nick, network.name, "Relay")
    if user.away:
        client.reply(RPL_AWAY, nick, user.away)
    if user.is_operator:
        client.reply(RPL_WHOISOPERATOR, nick, "is an IRC operator")
    if user.bot:
        client.reply(RPL_WHOISBOT, nick, "is a bot on Relay")
    for text in more.lines:
        for piece in pieces(clean(text), size):
            client.reply(RPL_WHOISSPECIAL, nick, piece)
    idle = user.idle if more.idle is None else more.idle
    signon = str(int(user.signon))
    client.reply(RPL_WHOISIDLE, nick, str(idle), signon, "seconds idle, signon time")


def _is_wanted(name: str, size: int, wanted: list[str]) -> bool:
    """Whether a channel of `size` members matches any name and all conditions of a LIST."""
    names = []
    for want in wanted:
        if limit := _SIZE.fullmatch(want):
            if not (size > int(limit[2]) if limit[1] == ">" else size < int(limit[2])):
                return False
        elif want.startswith("!"):
            if matches(want[1:], name):
                return False
        else:
            names.append(want)
    return not names or any(matches(mask, name) for mask in names)
