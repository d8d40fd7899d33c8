"""A channel: who is in it, what it is about, who may do what."""

from __future__ import annotations

import time
from dataclasses import dataclass

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import fold, matches

from .client import Client
from .user import User

_PREFIXES = {"o": "@", "v": "+"}


@dataclass(frozen=True, slots=True)
class Topic:
    """What a channel is about; `by` says who set it, `when` in Unix time."""

    text: str
    by: str
    when: float


class Channel:
    """A channel, from the first who joins to the last who leaves."""

    def __init__(self, name: str, topic: Topic | None = None) -> None:
        self.name = name
        self.topic = topic
        self.created = time.time()
        self.members: dict[User, set[str]] = {}
        """Each with their modes here: o for operators, v for a voice."""
        self.flags = {"n", "t"}
        self.key = ""
        self.limit = 0
        self.bans: dict[str, Topic] = {}
        """Mask → who set it, and when."""
        self.invited: set[str] = set()
        """Folded nicks that +i lets in once."""

    @property
    def clients(self) -> list[Client]:
        """The members that have a connection, in the order of joining."""
        return [member for member in self.members if isinstance(member, Client)]

    def send(self, line: Line, *, but: User | None = None, cap: str = "") -> None:
        """A line for all members but one, or for those with a capability."""
        for client in self.clients:
            if client is not but and (not cap or client.can(cap)):
                client.send(line)

    def is_op(self, user: User) -> bool:
        """Whether someone is an operator here."""
        return "o" in self.members.get(user, ())

    def prefix(self, user: User, viewer: Client) -> str:
        """The signs before a nick: the highest, or all with multi-prefix."""
        signs = "".join(sign for mode, sign in _PREFIXES.items() if mode in self.members[user])
        return signs if viewer.can("multi-prefix") else signs[:1]

    def is_banned(self, user: User) -> bool:
        """Whether a ban means someone."""
        return any(matches(mask, user.source) for mask in self.bans)

    def may_speak(self, user: User) -> bool:
        """Whether someone's messages are let through: +n, +m and bans (RFC 2811 section 4)."""
        modes = self.members.get(user)
        if modes:
            return True
        if modes is None and "n" in self.flags:
            return False
        return "m" not in self.flags and not self.is_banned(user)

    def is_invited(self, user: User) -> bool:
        """Whether someone was asked to come."""
        return fold(user.nick) in self.invited

    def modes(self, viewer: User) -> list[str]:
        """The modes with their parameters, as in numeric 324; the key only for members."""
        letters, values = "".join(sorted(self.flags)), []
        if self.key:
            letters += "k"
            values.append(self.key if viewer in self.members else "*")
        if self.limit:
            letters += "l"
            values.append(str(self.limit))
        return [f"+{letters}", *values]
