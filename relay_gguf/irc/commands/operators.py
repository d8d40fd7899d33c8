"""OPER KILL WALLOPS: the operators of the server (RFC 2812 3.1.4, 3.7.1 and 4.7)."""

from __future__ import annotations

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import WALLOPS
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.numerics import (
    ERR_CANTKILLSERVER,
    ERR_NOOPERHOST,
    ERR_NOPRIVILEGES,
    ERR_NOSUCHNICK,
    ERR_PASSWDMISMATCH,
    RPL_YOUREOPER,
)

from .registration import is_right


async def oper(network: Network, client: Client, line: Line) -> None:
    """OPER name password: become an operator of the server."""
    login = network.operator
    if login is None:
        client.error(ERR_NOOPERHOST)
        return
    # The password of a wrong name is looked at too, so that guesses are counted alike.
    right = login.password if line.params[0] == login.name else ""
    if not is_right(network, client, line.params[1], right):
        client.error(ERR_PASSWDMISMATCH)
        return
    client.reply(RPL_YOUREOPER, "You are now an IRC operator")
    if not client.is_operator:
        client.become_operator()
        client.send(network.line(client, "MODE", client.nick, "+o"))


async def kill(network: Network, client: Client, line: Line) -> None:
    """KILL nick :reason: an operator ends somebody's connection."""
    if not client.is_operator:
        client.error(ERR_NOPRIVILEGES)
        return
    victim = network.user(line.params[0])
    if victim is None:
        client.error(ERR_NOSUCHNICK, line.params[0])
    elif not isinstance(victim, Client):
        client.error(ERR_CANTKILLSERVER, text=f"{victim.nick} is a part of the server")
    else:
        given = clean(line.params[1], network.limits.reason) if line.params[1:] else ""
        reason = given or "no reason given"
        victim.send(network.line(client, "KILL", victim.nick, reason))
        network.end(victim, f"Killed ({client.nick} ({reason}))")


async def wallops(network: Network, client: Client, line: Line) -> None:
    """WALLOPS :text, from an operator to everybody with the user mode w."""
    if not client.is_operator:
        client.error(ERR_NOPRIVILEGES)
        return
    told = network.line(client, "WALLOPS", clean(line.params[0]))
    for other in network.registered:
        if WALLOPS in other.modes:
            other.send(told)
