"""The commands of the server in one table, and the dispatch of a line to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.numerics import ERR_NEEDMOREPARAMS, ERR_NOTREGISTERED

from . import (
    caps,
    history,
    joining,
    messaging,
    mode,
    monitor,
    multiline,
    operators,
    queries,
    registration,
    sasl,
    topics,
    welcome,
)
from .unknown import forward


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """The function of a command, and when it is called.

    With fewer than `params` parameters the client gets 461 instead; before registration is
    complete it gets 451, unless the command may come `early`.
    """

    run: Callable[[Network, Client, Line], Awaitable[None]]
    params: int = 0
    early: bool = False


TABLE: Final = {
    "CAP": CommandEntry(caps.cap, 1, early=True),
    "AUTHENTICATE": CommandEntry(sasl.authenticate, 1, early=True),
    "NICK": CommandEntry(registration.nick, early=True),
    "PASS": CommandEntry(registration.password, 1, early=True),
    "PING": CommandEntry(registration.ping, early=True),
    "PONG": CommandEntry(registration.pong, early=True),
    "QUIT": CommandEntry(registration.leave, early=True),
    "USER": CommandEntry(registration.user, 4, early=True),
    "SETNAME": CommandEntry(registration.set_name, 1),
    "JOIN": CommandEntry(joining.join, 1),
    "PART": CommandEntry(joining.part, 1),
    "KICK": CommandEntry(joining.kick, 2),
    "INVITE": CommandEntry(joining.invite, 2),
    "TOPIC": CommandEntry(topics.topic, 1),
    "NAMES": CommandEntry(topics.names),
    "MODE": CommandEntry(mode.mode, 1),
    "PRIVMSG": CommandEntry(messaging.message),
    "NOTICE": CommandEntry(messaging.message),
    "TAGMSG": CommandEntry(messaging.tagmsg),
    "AWAY": CommandEntry(messaging.away),
    "BATCH": CommandEntry(multiline.batch, 1),
    "CHATHISTORY": CommandEntry(history.chathistory),
    "MONITOR": CommandEntry(monitor.monitor, 1),
    "OPER": CommandEntry(operators.oper, 2),
    "KILL": CommandEntry(operators.kill, 1),
    "WALLOPS": CommandEntry(operators.wallops, 1),
    "WHO": CommandEntry(queries.who),
    "WHOIS": CommandEntry(queries.whois),
    "WHOWAS": CommandEntry(queries.whowas),
    "LIST": CommandEntry(queries.list_channels),
    "ISON": CommandEntry(queries.ison, 1),
    "USERHOST": CommandEntry(queries.userhost, 1),
    "LUSERS": CommandEntry(welcome.lusers),
    "MOTD": CommandEntry(welcome.motd),
    "VERSION": CommandEntry(welcome.version),
    "TIME": CommandEntry(welcome.tell_time),
    "INFO": CommandEntry(welcome.info),
    "ADMIN": CommandEntry(welcome.admin),
}


async def dispatch(network: Network, client: Client, line: Line, raw: str) -> None:
    """Run the command of a line; `raw` is the line as it was sent, without tags.

    Raises:
        Disconnect: the connection ends with this command.
    """
    verb = line.verb.upper()
    entry = TABLE.get(verb)
    if not client.registered and not (entry and entry.early):
        client.error(ERR_NOTREGISTERED)
    elif entry is None:
        await forward(network, client, verb, line.params, raw)
    elif len(line.params) < entry.params:
        client.error(ERR_NEEDMOREPARAMS, verb)
    else:
        await entry.run(network, client, line)
