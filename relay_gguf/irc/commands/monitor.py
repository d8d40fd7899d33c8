"""MONITOR: a client is told when nicks come and go (IRCv3 monitor)."""

from __future__ import annotations

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import fold, valid_nick
from relay_gguf.irc.protocol.numerics import (
    ERR_ERRONEUSNICKNAME,
    ERR_MONLISTFULL,
    ERR_NEEDMOREPARAMS,
    RPL_ENDOFMONLIST,
    RPL_MONLIST,
    RPL_MONOFFLINE,
    RPL_MONONLINE,
)
from relay_gguf.irc.protocol.splitting import chunks, room


async def monitor(network: Network, client: Client, line: Line) -> None:
    """MONITOR + nicks, - nicks, C to forget all, L to list them, S for which are here."""
    watched = network.watches.of(client)
    what = line.params[0].upper()
    asked = [nick for nick in line.params[1].split(",") if nick] if line.params[1:] else []
    if what == "C":
        watched.clear()
    elif what == "L":
        _tell(network, client, RPL_MONLIST, list(watched.values()))
        client.reply(RPL_ENDOFMONLIST, "End of MONITOR list")
    elif what == "S":
        _tell_state(network, client, list(watched.values()))
    elif not asked:
        client.error(ERR_NEEDMOREPARAMS, "MONITOR")
    elif what == "+":
        _add(network, client, watched, asked)
    elif what == "-":
        for nick in asked:
            watched.pop(fold(nick), None)


def _add(network: Network, client: Client, watched: dict[str, str], asked: list[str]) -> None:
    added = []
    for number, nick in enumerate(asked):
        if not valid_nick(nick, network.limits.nick) and network.user(nick) is None:
            client.error(ERR_ERRONEUSNICKNAME, nick)
            continue
        if fold(nick) not in watched and len(watched) >= network.limits.monitor:
            rest = ",".join(asked[number:])
            client.error(ERR_MONLISTFULL, str(network.limits.monitor), rest)
            break
        watched[fold(nick)] = nick
        added.append(nick)
    _tell_state(network, client, added)


def _tell_state(network: Network, client: Client, nicks: list[str]) -> None:
    users = {nick: network.user(nick) for nick in nicks}
    _tell(network, client, RPL_MONONLINE, [user.source for user in users.values() if user])
    _tell(network, client, RPL_MONOFFLINE, [nick for nick, user in users.items() if not user])


def _tell(network: Network, client: Client, numeric: str, names: list[str]) -> None:
    """Send names in as many lines as they take, commas between them."""
    size = room(network.name, numeric, client.nick)
    for chunk in chunks(names, size):
        client.reply(numeric, chunk.replace(" ", ","))
