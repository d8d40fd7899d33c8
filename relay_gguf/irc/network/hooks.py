"""Hooks, which the server calls while clients come, talk and go, and the actions open to them.

The server does its own part of a command first, then calls the hook. A hook may take its time:
hooks about one channel run one after another, and no client waits for them. Hooks run in
the server's event loop, so long work belongs into a thread; from there, `loop.call_soon_threadsafe`
leads back to `ServerActions`, whose methods are for the loop alone. An exception in a hook is
logged, and the server goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .channel import Topic
from .client import Client
from .jobs import Job
from .message import NO_TAGS, MessageKind
from .user import Persona

Target = str | Client
"""A channel, a nick, or a client whatever its nick is by now."""


class ServerActions(Protocol):
    """The actions of hooks on a server; the methods of `Speaker` are described there."""

    def say(
        self, target: Target, text: str, sender: str = "", tags: Mapping[str, str] = NO_TAGS
    ) -> str: ...
    def act(self, target: Target, text: str, sender: str = "") -> str: ...
    def notice(self, target: Target, text: str, sender: str = "") -> str: ...
    def inform(self, target: Target, text: str, tags: Mapping[str, str] = NO_TAGS) -> None: ...
    def typing(
        self, target: Target, state: Literal["active", "paused", "done"], sender: str = ""
    ) -> None: ...
    def writing(self, target: Target, text: str, sender: str) -> None: ...
    def set_topic(self, channel: str, text: str, by: str = "") -> None: ...
    def introduce(self, persona: Persona) -> bool: ...
    def bring(self, channel: str, nick: str) -> None: ...
    def send_away(self, channel: str, nick: str, by: Client, reason: str) -> None: ...
    def clients(self, channel: str) -> list[Client]: ...
    def channel_names(self, client: Client) -> list[str]: ...
    def enqueue(self, target: Target, job: Job) -> bool: ...
    def drop(self, target: Target) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a channel's history; `time` in Unix time, `text` may have several lines."""

    time: float
    nick: str
    text: str
    kind: MessageKind = "privmsg"
    msgid: str = ""
    source: str = ""
    """`nick!user@host` of who sent it; '' if that is not known."""
    reply: str = ""
    """Which of how many replies to the same words it is: `2/3`; '' if it is none."""


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A saved channel, which can be joined though nobody is in it; LIST shows `count` as size."""

    name: str
    topic: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Whois:
    """Additions to a WHOIS: lines for 320; real name and idle seconds unless None."""

    lines: Sequence[str] = ()
    realname: str | None = None
    idle: int | None = None


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An order in the menu of the web page: `name` as it is sent, `argument` as help shows it."""

    name: str
    argument: str
    help: str


class SecretNames:
    """Channels that are secret (+s) also while nobody is in them; here, none are."""

    def __contains__(self, channel: str) -> bool:
        return False

    def change(self, channel: str, *, secret: bool) -> None:
        """A channel was made secret, or is not any more."""


class Hooks:
    """Hooks that do nothing; a subclass overrides as many as it needs."""

    secret = SecretNames()

    personas: Sequence[Persona] = ()
    """The nicks to speak under; messages are of the first unless another is named."""

    def present(self, channel: str) -> Sequence[str]:
        """The nicks of the personas that are in a channel when it is opened."""
        return [persona.nick for persona in self.personas if persona.present]

    def attach(self, server: ServerActions) -> None:
        """The server has started; keep it, to act on it."""

    def motd(self) -> Sequence[str]:
        """The lines of the message of the day; if there are none, the server shows its own."""
        return ()

    def menu(self) -> Sequence[MenuEntry]:
        """The orders that the web page offers besides talking."""
        return ()

    def leaving(self, client: Client, channel: str) -> None:
        """A client is no longer in a channel. Called at once, while other hooks about the channel
        may be waiting or running; `parted` follows in its turn."""

    def overheard(self, client: Client, target: str, text: str) -> bool:
        """A client says something. Called at once, also while another hook runs; after True,
        `messaged` is not called."""
        return False

    def spoken(self, channel: str, message: StoredMessage) -> None:
        """A message was sent in a channel, by a client or by these hooks. Called at once."""

    # Events, after the server did its part

    async def joined(self, client: Client, channel: str) -> None:
        """A client has joined a channel and was sent its topic, members and history."""

    async def parted(self, client: Client, channel: str) -> None:
        """A client is no longer in a channel: it left, was kicked, quit or lost its connection."""

    async def invited(self, client: Client, nick: str, channel: str) -> None:
        """A client invites a persona into a channel where it is not."""

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        """A client said something in a channel, or to a persona.

        `text` is the whole message; `lines` are its lines, several in a multiline message.
        """

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        """A client has set a topic, or removed it: ''."""

    async def typing(self, client: Client, target: str, state: str) -> None:
        """A client is `active`, `paused` or `done` with typing (IRCv3 typing)."""

    # Questions

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """A client sent a command that the server does not know; False refuses it (421).

        Also `KICK` of a persona, which the server does not do. `raw` is the line without its tags.
        Commands of one client come one after another, but beside all messages, so that a command
        can cancel a reply.
        """
        return False

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a channel that is about to be opened; None if it has none."""
        return None

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        """The last messages of a channel, `limit` at most, oldest first."""
        return ()

    async def replay(self, client: Client, channel: str, limit: int) -> Sequence[StoredMessage]:
        """What a client that joins a channel is shown of its history, oldest first."""
        return await self.history(channel, limit)

    async def list_channels(self) -> Sequence[StoredChannel]:
        """The saved channels, for LIST."""
        return ()

    async def whois(self, client: Client, nick: str) -> Whois | None:
        """Additions to the WHOIS of a persona, for the client that asks; None if there are none."""
        return None
