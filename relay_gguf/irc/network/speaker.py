"""What the resident may do on a server: speak, set topics, say that somebody types.

All of it is for the server's own event loop, and returns at once.
"""

from __future__ import annotations

import time
from typing import Literal

from relay_gguf.irc.commands import topics
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean, clean_user, fold, is_channel

from .client import Client
from .delivery import hand
from .hooks import Kind
from .message import Speech, compose
from .network import Network
from .user import User

Target = str | Client
"""A channel, a nick, or a client whatever its nick is by now."""


class Voice:
    """Speaks on a network, as one of its personas or as anybody."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def say(self, target: Target, text: str, sender: str = "") -> str:
        """Say something, of any length and with any number of lines.

        Args:
            target: where; what nobody hears is lost.
            text: what; control characters other than formatting are left out.
            sender: as whom; the first persona unless given. It may be a client's nick: then that
                client sees the line too, as if it had been typed.

        Returns:
            The id of the first message it became; '' if nobody heard it.
        """
        return self._speak(target, text, sender, "privmsg")

    def act(self, target: Target, text: str, sender: str = "") -> str:
        """Say what somebody does: `/me text`."""
        return self._speak(target, text, sender, "action")

    def notice(self, target: Target, text: str, sender: str = "") -> str:
        """Say something that nothing may answer by itself."""
        return self._speak(target, text, sender, "notice")

    def inform(self, target: Target, text: str) -> None:
        """Say something as the server itself."""
        self._speak(target, text, self.network.name, "notice")

    def typing(
        self, target: Target, state: Literal["active", "paused", "done"], sender: str = ""
    ) -> None:
        """Show that somebody types; repeat it every three seconds, it lasts for six (typing)."""
        name, hearers = self._find(target)
        tags = {**self._tags(sender), "+typing": state}
        for client in hearers:
            hand(self.network, client, Speech(self._source(sender), "TAGMSG", name, (), tags))

    def set_topic(self, channel: str, text: str, by: str = "") -> None:
        """Set a channel's topic, or remove it with ''; where nobody is, nothing happens."""
        found = self.network.channel(channel)
        if found is not None:
            text = clean(text.replace("\n", " "), self.network.limits.topic)
            told = Line("TOPIC", (found.name, text), self._source(by), self._tags(by))
            topics.change(found, text, self._source(by), told)

    def clients(self, channel: str) -> list[Client]:
        """The clients in a channel, those who joined first at the front."""
        found = self.network.channel(channel)
        return found.clients if found else []

    def _speak(self, target: Target, text: str, sender: str, kind: Kind) -> str:
        name, hearers = self._find(target)
        source, first = self._source(sender), ""
        if (user := self._user(sender)) is not None:
            user.spoke = time.monotonic()
        for verb, parts in compose(source, name, text, kind, self.network.limits):
            tags = {**self._tags(sender), "msgid": self.network.new_id()}
            for client in hearers:
                hand(self.network, client, Speech(source, verb, name, parts, tags))
            first = first or tags["msgid"]
        return first if hearers else ""

    def _find(self, target: Target) -> tuple[str, list[Client]]:
        """The name of a target, and who hears what is said there."""
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
        author = self._user(nick) or User("", "", "")
        return dict(self.network.line(author, "").tags)
