"""The users and channels of a server, and the changes to them that others are told."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from secrets import token_hex
from typing import TypeVar

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import OPERATOR, SECRET
from relay_gguf.irc.protocol.names import fold, matches

from .channel import Channel, Topic
from .client import Client
from .hooks import Hooks, Target
from .host_limits import HostLimits
from .jobs import Job, Jobs, answer_of, attempt
from .limits import Limits
from .user import Persona, PersonaUser, User
from .watches import Watches
from .whowas import FormerUsers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OperatorLogin:
    """The name and the password of the operator of a server."""

    name: str
    password: str


class Network:
    """The users and channels of one server."""

    def __init__(
        self,
        hooks: Hooks,
        limits: Limits,
        name: str,
        password: str,
        *,
        operator: OperatorLogin | None,
        end: Callable[[Client, str], None],
    ) -> None:
        """A network without clients; `end` disconnects one, with a reason."""
        self.hooks = hooks
        self.limits = limits
        self.name = name
        """Of the server, as its replies begin."""
        self.password = password
        """That PASS must give; '' lets everyone in."""
        self.operator = operator
        """What OPER must give; None for a server without operators."""
        self.end = end
        self.former = FormerUsers()
        self.watches = Watches()
        self.created = time.time()
        """Unix time."""
        self.users: dict[str, User] = {}
        """By folded nick: clients from their NICK on, and the personas."""
        self.channels: dict[str, Channel] = {}
        """By folded name."""
        self.clients: set[Client] = set()
        """All connections, registered or not."""
        self.host_limits = HostLimits(limits)
        self.most_clients = 0
        """Most clients registered at a time."""
        self.jobs = Jobs(limits.waiting)
        self.personas = [PersonaUser(persona, name) for persona in hooks.personas]
        self.users |= {fold(persona.nick): persona for persona in self.personas}
        self._session, self._numbers = token_hex(4), count(1)

    # Finding

    def user(self, nick: str) -> User | None:
        """The registered user or persona of this nick."""
        user = self.users.get(fold(nick))
        return None if isinstance(user, Client) and not user.registered else user

    def channel(self, name: str) -> Channel | None:
        """The open channel of this name; None if no client is in it."""
        return self.channels.get(fold(name))

    def channels_of(self, client: Client) -> list[Channel]:
        """The channels that a client is in, in the order of joining."""
        return [self.channels[name] for name in client.channels]

    def is_server(self, name: str) -> bool:
        """Whether a name means this server: its own, a mask of it, or the nick of a user on it."""
        return matches(name, self.name) or self.user(name) is not None

    @property
    def registered(self) -> list[Client]:
        """The clients whose registration is complete."""
        return [client for client in self.clients if client.registered]

    def neighbours(self, client: Client) -> set[Client]:
        """The other clients that share a channel with this one."""
        near = {other for channel in self.channels_of(client) for other in channel.clients}
        return near - {client}

    # Lines

    def line(self, user: User, verb: str, *params: str) -> Line:
        """A line that comes from a user, with the time, and marked if it is a bot's."""
        return Line(verb, params, user.source, self._tags(user, time.time()))

    def message_tags(self, user: User, when: float) -> dict[str, str]:
        """The tags of a user's message, sent at the Unix time `when`: with an id of its own."""
        return {**self._tags(user, when), "msgid": self.new_id()}

    def new_id(self) -> str:
        """An id that no other message or batch of this server gets."""
        return f"{self._session}-{next(self._numbers)}"

    def _tags(self, user: User, when: float) -> dict[str, str]:
        tags = {"time": server_time(when)}
        if user.bot:
            tags["bot"] = ""
        return tags

    # Calling hooks

    def enqueue(self, target: Target, job: Job) -> bool:
        """Do a job after the others of a channel or of a client; False if too many wait."""
        return self.jobs.add(_queue(target), job)

    def drop(self, target: Target) -> None:
        """Forget the jobs of a channel or of a client that were not begun."""
        self.jobs.drop(_queue(target))

    async def ask(self, question: Awaitable[T], default: T) -> T:
        """The result of a hook; `default` if it fails or takes longer than `limits.answer`."""
        return await answer_of(question, default, self.limits.answer)

    # Changes that others are told

    def open(self, name: str, topic: Topic | None) -> Channel:
        """The channel of this name; a new one has this topic, and the personas as members."""
        channel = self.channel(name)
        if channel is None:
            channel = self.channels[fold(name)] = Channel(name, topic)
            if name in self.hooks.secret:
                channel.flags.add(SECRET)
            for nick in attempt(partial(self.hooks.present, name)) or ():
                if isinstance(user := self.user(nick), PersonaUser):
                    channel.members[user] = set()
        return channel

    def introduce(self, persona: Persona) -> bool:
        """Let a persona come to the network, or give it another real name.

        Returns:
            False if a client has its nick; then nothing is changed.
        """
        user = self.users.get(fold(persona.nick))
        if user is None:
            user = self.users[fold(persona.nick)] = PersonaUser(persona, self.name)
            self.personas.append(user)
            self.watches.came(user)
        elif not isinstance(user, PersonaUser):
            return False
        user.realname = persona.realname or persona.nick
        return True

    def enter(self, user: User, channel: Channel, modes: set[str]) -> None:
        """Make a user a member of a channel, and tell its clients, of whom the user may be one."""
        channel.members[user] = modes
        short = self.line(user, "JOIN", channel.name)
        long = self.line(user, "JOIN", channel.name, "*", user.realname)
        for client in channel.clients:
            client.send(long if client.can("extended-join") else short)

    def leave(self, client: Client, channel: Channel) -> None:
        """Take a client out of a channel; after the last client the channel is closed."""
        was_op = channel.is_op(client)
        del channel.members[client]
        del client.channels[fold(channel.name)]
        if client.target == channel.name:
            rest = self.channels_of(client)
            client.target = rest[-1].name if rest else ""
        remaining = channel.clients
        if not remaining:
            del self.channels[fold(channel.name)]
        elif was_op and self.personas and not any(map(channel.is_op, remaining)):
            # With a bot, a channel is a scene of one person, whose old connection may be the
            # operator: somebody has to be able to change the topic.
            channel.members[remaining[0]].add(OPERATOR)
            channel.send(Line("MODE", (channel.name, f"+{OPERATOR}", remaining[0].nick), self.name))
        attempt(partial(self.hooks.leaving, client, channel.name))
        self.enqueue(channel.name, partial(self.hooks.parted, client, channel.name))

    def rename(self, client: Client, nick: str) -> None:
        """Give a client another nick, which must be free and valid."""
        if self.users.get(fold(client.nick)) is client:
            del self.users[fold(client.nick)]
        self.users[fold(nick)] = client
        if client.registered:
            line = self.line(client, "NICK", nick)
            for other in {client, *self.neighbours(client)}:
                other.send(line)
        old, client.nick = client.nick, nick
        if client.registered and fold(old) != fold(nick):
            self.former.note(client, old)
            self.watches.went(old)
            self.watches.came(client)

    def remove(self, client: Client, reason: str) -> None:
        """Remove a client and send QUIT with the reason to all that share a channel with it."""
        line = self.line(client, "QUIT", reason)
        for other in self.neighbours(client):
            other.send(line)
        for channel in self.channels_of(client):
            self.leave(client, channel)
        if self.users.get(fold(client.nick)) is client:
            del self.users[fold(client.nick)]
        self.clients.discard(client)
        if client.registered:
            self.former.note(client, client.nick)
            self.watches.went(client.nick)


def server_time(when: float) -> str:
    """A Unix time as in the tag `time` (IRCv3 server-time), in milliseconds."""
    whole, milliseconds = divmod(int(when * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def _queue(target: Target) -> Target:
    """The key of the jobs about a channel, or of a client's private talk."""
    return target if isinstance(target, Client) else fold(target)
