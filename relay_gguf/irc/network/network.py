"""Who is here, in which channels: the state of a server, and the changes to it that all see."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import partial
from itertools import count
from secrets import token_hex
from typing import TypeVar

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import fold

from .channel import Channel, Topic
from .client import Client
from .hooks import Resident
from .jobs import Errands, Job, answer, attempt
from .limits import Limits
from .user import Local, User

T = TypeVar("T")


class Network:
    """The users and channels of one server."""

    def __init__(self, resident: Resident, limits: Limits, name: str, password: str) -> None:
        self.resident = resident
        self.limits = limits
        self.name = name
        self.password = password
        self.created = time.time()
        self.users: dict[str, User] = {}
        """By folded nick: clients from their NICK on, and the personas."""
        self.channels: dict[str, Channel] = {}
        """By folded name."""
        self.clients: set[Client] = set()
        """All connections, registered or not."""
        self.most_clients = 0
        self.errands = Errands(limits.waiting)
        self.personas = [Local(persona, name) for persona in resident.personas]
        self.users |= {fold(local.nick): local for local in self.personas}
        self._session, self._numbers = token_hex(4), count(1)

    # Finding

    def user(self, nick: str) -> User | None:
        """The registered user or persona of this nick."""
        user = self.users.get(fold(nick))
        return None if isinstance(user, Client) and not user.registered else user

    def channel(self, name: str) -> Channel | None:
        """The channel of this name, if somebody is in it."""
        return self.channels.get(fold(name))

    @property
    def registered(self) -> list[Client]:
        """The clients that have come in."""
        return [client for client in self.clients if client.registered]

    def neighbours(self, client: Client) -> set[Client]:
        """The clients that share a channel with this one."""
        near = {other for channel in client.channels.values() for other in channel.clients}
        return near - {client}

    # Lines

    def line(self, user: User, verb: str, *params: str) -> Line:
        """A line that comes from a user, dated, and marked if it is a bot's."""
        tags = {"time": clock(time.time())}
        if user.bot:
            tags["bot"] = ""
        return Line(verb, params, user.source, tags)

    def new_id(self) -> str:
        """An id for a message or a batch, which nothing else gets."""
        return f"{self._session}-{next(self._numbers)}"

    # The resident

    def tell(self, channel: str, job: Job) -> bool:
        """Let the resident know of something in a channel; False if it has too much to do."""
        return self.errands.add(fold(channel), job)

    async def ask(self, question: Awaitable[T], default: T) -> T:
        """What the resident answers, in time."""
        return await answer(question, default, self.limits.answer)

    # Changes that others see

    def open(self, name: str, topic: Topic | None) -> Channel:
        """The channel of this name, made if need be, with the personas in it."""
        channel = self.channel(name)
        if channel is None:
            channel = self.channels[fold(name)] = Channel(name, topic)
            channel.members |= {local: set() for local in self.personas if local.persona.present}
        return channel

    def leave(self, client: Client, channel: Channel) -> None:
        """Take a client out of a channel; with the last one, the channel is gone."""
        was_op = channel.is_op(client)
        del channel.members[client]
        del client.channels[fold(channel.name)]
        if client.target == channel.name:
            client.target = next(reversed(client.channels.values())).name if client.channels else ""
        remaining = channel.clients
        if not remaining:
            del self.channels[fold(channel.name)]
        elif was_op and self.personas and not any(map(channel.is_op, remaining)):
            # Where the model lives, a channel is a scene of one person, whose old connection may
            # be the operator: somebody has to be able to change the topic.
            channel.members[remaining[0]].add("o")
            channel.send(Line("MODE", (channel.name, "+o", remaining[0].nick), self.name))
        attempt(partial(self.resident.leaving, client, channel.name))
        self.tell(channel.name, partial(self.resident.parted, client, channel.name))

    def rename(self, client: Client, nick: str) -> None:
        """Give a client another nick, which is free and valid."""
        if self.users.get(fold(client.nick)) is client:
            del self.users[fold(client.nick)]
        self.users[fold(nick)] = client
        if client.registered:
            line = self.line(client, "NICK", nick)
            for other in {client, *self.neighbours(client)}:
                other.send(line)
        client.nick = nick

    def remove(self, client: Client, reason: str) -> None:
        """Forget a client; who shares a channel with it is told why it went."""
        line = self.line(client, "QUIT", reason)
        for other in self.neighbours(client):
            other.send(line)
        for channel in list(client.channels.values()):
            self.leave(client, channel)
        if self.users.get(fold(client.nick)) is client:
            del self.users[fold(client.nick)]
        self.clients.discard(client)


def clock(when: float) -> str:
    """A Unix time as in the tag `time` (IRCv3 server-time), in milliseconds."""
    whole, milliseconds = divmod(int(when * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"
