"""A user: a client's human, or a persona, which the server has without a connection."""

from __future__ import annotations

import time
from dataclasses import dataclass

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import BOT, SERVER_OPERATOR


@dataclass(frozen=True, slots=True)
class Persona:
    """A nick that hooks speak under: the model's, or a service's such as `*relay`.

    A `present` persona is a member of every open channel, unless the hooks tell who is in which;
    the others only get messages.
    """

    nick: str
    realname: str = ""
    bot: bool = True
    present: bool = True


class User:
    """A nick, and what every client may know about its user."""

    def __init__(self, nick: str, username: str, host: str, realname: str = "") -> None:
        self.nick = nick
        self.username = username
        self.host = host
        self.realname = realname
        self.away = ""
        """The away message; '' for a user that is here."""
        self.modes: set[str] = set()
        self.signon = time.time()
        """Unix time."""
        self.spoke = time.monotonic()
        """When the last message was sent, in monotonic seconds."""

    @property
    def source(self) -> str:
        """`nick!user@host`, which stands before the lines that come from this user."""
        return f"{self.nick}!{self.username}@{self.host}"

    @property
    def bot(self) -> bool:
        """Whether this user is marked as a bot (IRCv3 bot-mode)."""
        return BOT in self.modes

    @property
    def is_operator(self) -> bool:
        """Whether this user is an operator of the server."""
        return SERVER_OPERATOR in self.modes

    def become_operator(self) -> None:
        """Give the rights of an operator of the server to this user."""
        self.modes.add(SERVER_OPERATOR)

    @property
    def idle(self) -> int:
        """Seconds since the last message."""
        return int(time.monotonic() - self.spoke)

    def send(self, line: Line) -> None:
        """Send a line to this user; a persona gets none, its hooks are called instead."""


class PersonaUser(User):
    """A persona as a user of the network."""

    def __init__(self, persona: Persona, host: str) -> None:
        username = "".join(c for c in persona.nick if c.isalnum()) or "relay"
        super().__init__(persona.nick, username, host, persona.realname or persona.nick)
        self.persona = persona
        if persona.bot:
            self.modes.add(BOT)
