"""Somebody with a nick: a client's human, or who lives on the server itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from relay_gguf.irc.protocol.line import Line


@dataclass(frozen=True, slots=True)
class Persona:
    """One who lives on the server: the model, or a service such as `*relay`.

    `present` ones are in every channel that somebody is in; the others can be written to.
    """

    nick: str
    realname: str = ""
    bot: bool = True
    present: bool = True


class User:
    """Somebody with a nick, and what everybody may know of them."""

    def __init__(self, nick: str, username: str, host: str, realname: str = "") -> None:
        self.nick = nick
        self.username = username
        self.host = host
        self.realname = realname
        self.away = ""
        self.modes: set[str] = set()
        self.signon = time.time()
        self.spoke = time.monotonic()

    @property
    def source(self) -> str:
        """What stands before the lines that come from this user."""
        return f"{self.nick}!{self.username}@{self.host}"

    @property
    def bot(self) -> bool:
        """Whether this user is marked as a bot (IRCv3 bot-mode)."""
        return "B" in self.modes

    @property
    def idle(self) -> int:
        """Seconds since the last message."""
        return int(time.monotonic() - self.spoke)

    def send(self, line: Line) -> None:
        """A line for this user; who lives on the server hears through its hooks instead."""


class Local(User):
    """A persona as a user."""

    def __init__(self, persona: Persona, host: str) -> None:
        username = "".join(c for c in persona.nick if c.isalnum()) or "relay"
        super().__init__(persona.nick, username, host, persona.realname or persona.nick)
        self.persona = persona
        if persona.bot:
            self.modes.add("B")
