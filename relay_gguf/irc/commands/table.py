"""The commands of the server in one table, and what happens to a line."""

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
    modes,
    multiline,
    queries,
    registration,
    topics,
    welcome,
)
from .unknown import forward


@dataclass(frozen=True, slots=True)
class Verb:
    """What does a command, how many parameters it needs, whether it may come before 001."""

    do: Callable[[Network, Client, Line], Awaitable[None]]
    params: int = 0
    early: bool = False


VERBS: Final = {
    "CAP": Verb(caps.cap, 1, early=True),
    "NICK": Verb(registration.nick, early=True),
    "PASS": Verb(registration.password, 1, early=True),
    "PING": Verb(registration.ping, early=True),
    "PONG": Verb(registration.pong, early=True),
    "QUIT": Verb(registration.leave, early=True),
    "USER": Verb(registration.user, 4, early=True),
    "SETNAME": Verb(registration.set_name, 1),
    "JOIN": Verb(joining.join, 1),
    "PART": Verb(joining.part, 1),
    "KICK": Verb(joining.kick, 2),
    "INVITE": Verb(joining.invite, 2),
    "TOPIC": Verb(topics.topic, 1),
    "NAMES": Verb(topics.names),
    "MODE": Verb(modes.mode, 1),
    "PRIVMSG": Verb(messaging.message),
    "NOTICE": Verb(messaging.message),
    "TAGMSG": Verb(messaging.tagmsg),
    "AWAY": Verb(messaging.away),
    "BATCH": Verb(multiline.batch, 1),
    "CHATHISTORY": Verb(history.chathistory),
    "WHO": Verb(queries.who),
    "WHOIS": Verb(queries.whois),
    "WHOWAS": Verb(queries.whowas),
    "LIST": Verb(queries.list_channels),
    "ISON": Verb(queries.ison, 1),
    "USERHOST": Verb(queries.userhost, 1),
    "LUSERS": Verb(welcome.lusers),
    "MOTD": Verb(welcome.motd),
    "VERSION": Verb(welcome.version),
    "TIME": Verb(welcome.tell_time),
    "INFO": Verb(welcome.info),
    "ADMIN": Verb(welcome.admin),
}


async def obey(network: Network, client: Client, line: Line, raw: str) -> None:
    """Do what a line says; `raw` is the line as it was sent, without tags.

    Raises:
        Goodbye: the connection ends with it.
    """
    name = line.verb.upper()
    verb = VERBS.get(name)
    if not client.registered and not (verb and verb.early):
        client.error(ERR_NOTREGISTERED)
    elif verb is None:
        await forward(network, client, name, line.params, raw)
    elif len(line.params) < verb.params:
        client.error(ERR_NEEDMOREPARAMS, name)
    else:
        await verb.do(network, client, line)
