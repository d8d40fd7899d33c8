"""A channel: its members, its topic, and who may do what."""

from __future__ import annotations

import time
from dataclasses import dataclass

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import (
    KEY,
    LIMIT,
    MODERATED,
    NO_OUTSIDE,
    OPERATOR,
    PREFIXES,
    SECRET,
    TOPIC_LOCK,
)
from relay_gguf.irc.protocol.names import fold, matches

from .client import Client
from .user import User


@dataclass(frozen=True, slots=True)
class Topic:
    """What a channel is about; `by` is who set it, `when` the Unix time."""

    text: str
    by: str
    when: float


@dataclass(frozen=True, slots=True)
class Ban:
    """Who set a ban mask, as `nick!user@host`, and the Unix time."""

    by: str
    when: float


class Channel:
    """A channel, from the first client that joins to the last that leaves."""

    def __init__(self, name: str, topic: Topic | None = None) -> None:
        self.name = name
        self.topic = topic
        self.created = time.time()
        self.members: dict[User, set[str]] = {}
        """Member → its modes here, o (operator) and v (voice), in the order of joining."""
        self.flags = {NO_OUTSIDE, TOPIC_LOCK}
        self.key = ""
        self.limit = 0
        self.bans: dict[str, Ban] = {}
        """By mask."""
        self.invited: set[str] = set()
        """Folded nicks that +i lets in once."""

    @property
    def clients(self) -> list[Client]:
        """The members that have a connection, in the order of joining."""
        return [member for member in self.members if isinstance(member, Client)]

    def send(self, line: Line, *, but: User | None = None, cap: str = "") -> None:
        """Send a line to all members except `but`; with `cap`, to those that negotiated it."""
        for client in self.clients:
            if client is not but and (not cap or client.can(cap)):
                client.send(line)

    def set_topic(self, text: str, by: str, told: Line) -> None:
        """Set the topic, or remove it with '', and send all members the line `told` about it."""
        self.topic = Topic(text, by, time.time()) if text else None
        self.send(told)

    def is_hidden(self, viewer: User) -> bool:
        """Whether a user must not learn of the channel: +s hides it from all but its members."""
        return SECRET in self.flags and viewer not in self.members

    @property
    def symbol(self) -> str:
        """The sign in numeric 353: `@` for a secret channel, `=` for another."""
        return "@" if SECRET in self.flags else "="

    def is_op(self, user: User) -> bool:
        """Whether a user is an operator here."""
        return OPERATOR in self.members.get(user, ())

    def prefix(self, user: User, viewer: Client) -> str:
        """The signs before a member's nick: the highest, or all with multi-prefix."""
        signs = "".join(sign for mode, sign in PREFIXES.items() if mode in self.members[user])
        return signs if viewer.can("multi-prefix") else signs[:1]

    def is_banned(self, user: User) -> bool:
        """Whether a ban mask matches a user."""
        return any(matches(mask, user.source) for mask in self.bans)

    def may_speak(self, user: User) -> bool:
        """Whether a user's messages are let through: +n, +m and bans (RFC 2811 section 4)."""
        modes = self.members.get(user)
        if modes:
            return True
        if modes is None and NO_OUTSIDE in self.flags:
            return False
        return MODERATED not in self.flags and not self.is_banned(user)

    def is_invited(self, user: User) -> bool:
        """Whether a user was invited, and has not joined since."""
        return fold(user.nick) in self.invited

    def modes(self, viewer: User) -> list[str]:
        """The modes and their values as parameters of numeric 324; members alone see the key."""
        letters, values = "".join(sorted(self.flags)), []
        if self.key:
            letters += KEY
            values.append(self.key if viewer in self.members else "*")
        if self.limit:
            letters += LIMIT
            values.append(str(self.limit))
        return [f"+{letters}", *values]
