"""The actions of hooks on a server: send messages, set topics, show typing, queue jobs.

All of it is for the server's own event loop, and returns at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean, clean_user, fold, is_channel

from .client import Client
from .delivery import record, send_message
from .hooks import Target
from .jobs import Job
from .message import NO_TAGS, WRITING, MessageKind, SentMessage, compose
from .network import Network
from .user import Persona, PersonaUser, User


class Speaker:
    """`ServerActions` on a network, under the nick of a persona or any other."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def say(
        self, target: Target, text: str, sender: str = "", tags: Mapping[str, str] = NO_TAGS
    ) -> str:
        """Send a message, of any length and with any number of lines.

        Args:
            target: where; a message that no client receives is lost.
            text: control characters other than formatting are left out.
            sender: the nick it comes from; the first persona's unless given. It may be a client's:
                then that client gets the message too, as if it had been typed.
            tags: of the message, beside its id and time.

        Returns:
            The id of the first message it became; '' if no client received it.
        """
        return self._speak(target, text, sender, "privmsg", tags)

    def act(self, target: Target, text: str, sender: str = "") -> str:
        """Send an action, `/me text`; arguments and result are those of `say`."""
        return self._speak(target, text, sender, "action")

    def notice(self, target: Target, text: str, sender: str = "") -> str:
        """Send a notice, which no program answers; arguments and result are those of `say`."""
        return self._speak(target, text, sender, "notice")

    def inform(self, target: Target, text: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Send a notice of the server itself; `tags` are those of `say`."""
        self._speak(target, text, self.network.name, "notice", tags)

    def typing(
        self, target: Target, state: Literal["active", "paused", "done"], sender: str = ""
    ) -> None:
        """Show that `sender` types; repeat it every three seconds, it lasts for six (typing)."""
        name, receivers = self._resolve(target)
        tags = {**self._tags(sender), "+typing": state}
        message = SentMessage(self._source(sender), "TAGMSG", name, (), tags)
        for client in receivers:
            send_message(self.network, client, message)

    def writing(self, target: Target, text: str, sender: str) -> None:
        """Show what `sender` has written so far, to the clients that want to see that."""
        name, receivers = self._resolve(target)
        tags = {**self._tags(sender), "+typing": "active", WRITING: text}
        message = SentMessage(self._source(sender), "TAGMSG", name, (), tags)
        for client in receivers:
            if client.can(WRITING):
                send_message(self.network, client, message)

    def set_topic(self, channel: str, text: str, by: str = "") -> None:
        """Set the topic of an open channel, or remove it with ''."""
        found = self.network.channel(channel)
        if found is not None:
            text = clean(text.replace("\n", " "), self.network.limits.topic)
            told = Line("TOPIC", (found.name, text), self._source(by), self._tags(by))
            found.set_topic(text, self._source(by), told)

    def introduce(self, persona: Persona) -> bool:
        """Let a persona come to the network, or give it another real name.

        Returns:
            False if a client has its nick; then nothing is changed.
        """
        return self.network.introduce(persona)

    def bring(self, channel: str, nick: str) -> None:
        """Let a persona join an open channel, unless it is there."""
        found, user = self.network.channel(channel), self.network.user(nick)
        if found is not None and isinstance(user, PersonaUser) and user not in found.members:
            self.network.enter(user, found, set())

    def send_away(self, channel: str, nick: str, by: Client, reason: str) -> None:
        """Kick a persona out of an open channel, as a client wants."""
        found, user = self.network.channel(channel), self.network.user(nick)
        if found is not None and isinstance(user, PersonaUser) and user in found.members:
            found.send(self.network.line(by, "KICK", found.name, user.nick, reason or by.nick))
            del found.members[user]

    def clients(self, channel: str) -> list[Client]:
        """The clients in a channel, in the order of joining."""
        found = self.network.channel(channel)
        return found.clients if found else []

    def channel_names(self, client: Client) -> list[str]:
        """The names of a client's channels, in the order of joining."""
        return [channel.name for channel in self.network.channels_of(client)]

    def enqueue(self, target: Target, job: Job) -> bool:
        """Do a job after all that waits in a channel, or in a client's private talk.

        Returns:
            False if too many jobs wait there already; then it is not done.
        """
        return self.network.enqueue(target, job)

    def drop(self, target: Target) -> None:
        """Forget the jobs of a channel, or of a client's private talk, that were not begun."""
        self.network.drop(target)

    def _speak(
        self,
        target: Target,
        text: str,
        sender: str,
        kind: MessageKind,
        more: Mapping[str, str] = NO_TAGS,
    ) -> str:
        name, receivers = self._resolve(target)
        source, first = self._source(sender), ""
        if (user := self._user(sender)) is not None:
            user.spoke = time.monotonic()
        for verb, fragments in compose(source, name, text, kind, self.network.limits):
            when = time.time()
            tags = {**self.network.message_tags(self._author(sender), when), **more}
            message = SentMessage(source, verb, name, fragments, tags)
            if receivers and not isinstance(target, Client) and is_channel(target):
                self._record(message, sender, when)
            for client in receivers:
                send_message(self.network, client, message)
            first = first or tags["msgid"]
        return first if receivers else ""

    def _resolve(self, target: Target) -> tuple[str, list[Client]]:
        """The name of a target, and the clients that receive its messages."""
        if isinstance(target, Client):
            return target.nick, [] if target.gone else [target]
        if is_channel(target):
            channel = self.network.channel(target)
            return (channel.name, channel.clients) if channel else (target, [])
        user = self.network.user(target)
        return target, [user] if isinstance(user, Client) else []

    def _user(self, nick: str) -> User | None:
        if nick:
            return self.network.users.get(fold(nick))
        return next(iter(self.network.personas), None)

    def _source(self, nick: str) -> str:
        user = self._user(nick)
        if user is not None:
            return user.source
        if not nick or nick == self.network.name:
            return self.network.name
        name = clean_user(nick, self.network.limits.nick)
        return f"{name}!{name}@{self.network.name}"

    def _tags(self, nick: str) -> dict[str, str]:
        return dict(self.network.line(self._author(nick), "").tags)

    def _author(self, nick: str) -> User:
        return self._user(nick) or User("", "", "")

    def _record(self, message: SentMessage, sender: str, when: float) -> None:
        """Hand a channel's message to the hooks; what the server itself says is for the moment."""
        if message.source != self.network.name:
            record(self.network, message, message.source.partition("!")[0], when)
