"""Registration, nick and real name, PING, and the end of a connection.

RFC 2812 sections 3.1 and 3.7; modern.ircdocs, Connection Registration.
"""

from __future__ import annotations

import hmac
import logging

from relay_gguf.irc.network.client import Client, Disconnect
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean, clean_user, fold, valid_nick
from relay_gguf.irc.protocol.numerics import (
    ERR_ALREADYREGISTERED,
    ERR_ERRONEUSNICKNAME,
    ERR_NEEDMOREPARAMS,
    ERR_NICKNAMEINUSE,
    ERR_NONICKNAMEGIVEN,
    ERR_NOORIGIN,
    ERR_PASSWDMISMATCH,
)

from .welcome import greet

_log = logging.getLogger(__name__)


async def password(network: Network, client: Client, line: Line) -> None:
    """PASS password, before registration is complete."""
    if client.registered:
        client.error(ERR_ALREADYREGISTERED)
    else:
        client.password = line.params[0]


async def nick(network: Network, client: Client, line: Line) -> None:
    """NICK nick: the first nick of a client, or a new one."""
    wanted = line.params[0] if line.params else ""
    if not wanted:
        client.error(ERR_NONICKNAMEGIVEN)
        return
    if not valid_nick(wanted, network.limits.nick):
        client.error(ERR_ERRONEUSNICKNAME, wanted)
        return
    holder = network.users.get(fold(wanted))
    if holder not in (None, client):
        client.error(ERR_NICKNAMEINUSE, wanted)
        return
    if wanted != client.nick:
        network.rename(client, wanted)
    await finish(network, client)


async def user(network: Network, client: Client, line: Line) -> None:
    """USER user 0 * :real name."""
    if client.registered:
        client.error(ERR_ALREADYREGISTERED)
        return
    username, realname = line.params[0], line.params[3]
    if not username or not realname:
        client.error(ERR_NEEDMOREPARAMS, "USER")
        return
    client.username = clean_user(username, network.limits.user)
    client.realname = clean(realname, network.limits.realname)
    await finish(network, client)


async def finish(network: Network, client: Client) -> None:
    """Complete the registration of a client that has sent NICK and USER, and ended CAP.

    Raises:
        Disconnect: the password is wrong.
    """
    if client.registered or client.negotiates or client.nick == "*" or not client.username:
        return
    proved = client.authenticated or not network.password
    if not proved and not is_right(network, client, client.password, network.password):
        client.error(ERR_PASSWDMISMATCH)
        raise Disconnect("Password incorrect")
    client.password = ""
    client.registered = True
    network.most_clients = max(network.most_clients, len(network.registered))
    greet(network, client)
    network.watches.came(client)


def is_right(network: Network, client: Client, given: str, right: str) -> bool:
    """Whether a password is right; if not, that is logged, and the client is told if it must wait.

    A host that has sent too many wrong ones must wait: until then none is looked at.
    """
    if wait := network.host_limits.wait(client.host):
        text = f"Too many wrong passwords: try again in {wait} seconds"
        client.send(Line("NOTICE", (client.nick, text), network.name))
        return False
    if right and hmac.compare_digest(given.encode(), right.encode()):
        return True
    network.host_limits.note_wrong(client.host)
    waits = network.host_limits.wait(client.host)
    more = f"; the next is looked at in {waits} seconds" if waits else ""
    _log.warning("wrong password from %s, nick %s%s", client.host, client.nick, more)
    return False


async def set_name(network: Network, client: Client, line: Line) -> None:
    """SETNAME :real name (IRCv3 setname)."""
    realname = line.params[0]
    if not realname or len(realname.encode()) > network.limits.realname:
        client.fail("SETNAME", "INVALID_REALNAME", "Realname is not valid")
        return
    client.realname = clean(realname, network.limits.realname)
    told = network.line(client, "SETNAME", client.realname)
    for other in {client, *network.neighbours(client)}:
        if other.can("setname"):
            other.send(told)


async def ping(network: Network, client: Client, line: Line) -> None:
    """PING token: PONG with the token, without which a client takes the connection for lost."""
    if not line.params or not line.params[0]:
        client.error(ERR_NOORIGIN)
    else:
        client.send(Line("PONG", (network.name, line.params[0]), network.name))


async def pong(network: Network, client: Client, line: Line) -> None:
    """PONG: nothing to do, the server has noted that a line came."""


async def leave(network: Network, client: Client, line: Line) -> None:
    """QUIT :reason.

    Raises:
        Disconnect: always.
    """
    reason = clean(line.params[0], network.limits.reason) if line.params else ""
    raise Disconnect(f"Quit: {reason}" if reason else "Quit")
