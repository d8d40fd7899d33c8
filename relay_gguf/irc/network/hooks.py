"""Who lives on a server: what the model, or anyone, has to be able to do to answer there.

The server does its own part of a command first, then tells the resident. A hook may take its time:
those about one channel are called one after another, and no client waits for them. Hooks run in
the server's event loop, so long work belongs into a thread; from there, `loop.call_soon_threadsafe`
leads back to the server's methods (`Server.say` and its neighbours), which are for the loop alone.
What a hook raises is logged, and the server goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .channel import Topic
from .client import Client
from .user import Persona

if TYPE_CHECKING:
    from relay_gguf.irc.server import Server

Kind = Literal["privmsg", "action", "notice"]
"""A message, a `/me`, or what must not be answered."""


@dataclass(frozen=True, slots=True)
class Past:
    """A message that was said before; `time` in Unix time, `text` may have several lines."""

    time: float
    nick: str
    text: str
    kind: Kind = "privmsg"
    msgid: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """A channel that can be joined though nobody is in it; `count` is shown as its size."""

    name: str
    topic: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Whois:
    """What a whois adds about someone: lines for 320; what is None is left as it is."""

    lines: Sequence[str] = ()
    realname: str | None = None
    idle: int | None = None


class Resident:
    """Who lives on a server; this one is nobody. A subclass does as much as it likes."""

    personas: Sequence[Persona] = ()
    """Under which names; the first is the one who speaks if nothing else is said."""

    def attach(self, server: Server) -> None:
        """The server has started; keep it, to speak."""

    def motd(self) -> Sequence[str]:
        """The lines that greet a client, such as a list of commands; none for the server's own."""
        return ()

    def leaving(self, client: Client, channel: str) -> None:
        """A client is no longer in a channel. Called at once, while other hooks about the channel
        may be waiting or at work; `parted` follows in its turn."""

    def overheard(self, client: Client, target: str, text: str) -> bool:
        """A client says something. Called at once, also while a hook is at work; True takes it,
        and `messaged` is not called."""
        return False

    # Told after the server did its part

    async def joined(self, client: Client, channel: str) -> None:
        """A client has joined a channel and was shown who is there."""

    async def parted(self, client: Client, channel: str) -> None:
        """A client is no longer in a channel: it left, was kicked, quit or lost its connection."""

    async def messaged(
        self, client: Client, target: str, text: str, kind: Kind, lines: Sequence[str]
    ) -> None:
        """A client said something in a channel, or to a persona.

        `text` is all of it; `lines` are its lines, more than one in a multiline message.
        """

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        """A client has set a topic, or removed it: ''."""

    async def typing(self, client: Client, target: str, state: str) -> None:
        """A client is `active`, `paused` or `done` with typing (IRCv3 typing)."""

    # Asked

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """A client sent a command that the server does not know; False refuses it (421).

        Also `KICK` of a persona, which the server does not do. `raw` is the whole line. Commands
        of one client are given one after another, beside all messages, so that one can cancel.
        """
        return False

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a channel that nobody was in until now."""
        return None

    async def history(self, channel: str, limit: int) -> Sequence[Past]:
        """The last messages of a channel, `limit` at most, oldest first."""
        return ()

    async def list_channels(self) -> Sequence[Saved]:
        """Channels that were saved, for LIST."""
        return ()

    async def whois(self, client: Client, nick: str) -> Whois | None:
        """More about a persona, for a client who asks."""
        return None
