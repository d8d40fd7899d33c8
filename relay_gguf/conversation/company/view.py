"""A channel as one of the model's people reads it: in Relay's three roles, from its own view.

What it said itself is `user`'s, and all that others say is `anon`'s, with their names before it, as
where several humans are in a channel: `bob: arr`. So the model reads what it was trained on,
however many speak. The bio of somebody else is not read: on IRC, the answer to a whois is seen by
who asked alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay_gguf.conversation.messages import NICKS, Message, is_notice

_BIO: Final = re.compile(r"\* (\S+)'s bio: ")
ROLES: Final = frozenset(NICKS.values())
MODEL: Final = NICKS["model"]
HUMAN: Final = NICKS["input"]


@dataclass(frozen=True, slots=True)
class View:
    """How one person reads a channel.

    `nick` is its own in the messages. `user` is how others call the one whose nick in the messages
    is `user`, which may have another on a network. `human` is put before what the human says; it
    is empty where the messages have the names of several humans already.
    """

    nick: str = MODEL
    user: str = MODEL
    human: str = ""

    def called(self, nick: str) -> str:
        """How others call somebody, by the nick in the messages."""
        return self.user if nick == MODEL else nick

    def seen(self, lines: Sequence[Message]) -> list[int]:
        """The indices of the messages that this person sees."""
        hidden = set()
        for index, line in enumerate(lines):
            whose = _BIO.match(line.content) if is_notice(line) else None
            if whose and whose[1] not in (self.nick, HUMAN):
                hidden.add(index)
                if index and lines[index - 1].content == f"/whois {whose[1]}":
                    hidden.add(index - 1)
        return [index for index in range(len(lines)) if index not in hidden]

    def read(self, lines: Sequence[Message]) -> list[Message]:
        """The messages that this person sees, as this person reads them."""
        return [self._line(lines[index]) for index in self.seen(lines)]

    def _line(self, line: Message) -> Message:
        if line.nick == self.nick or is_opening(line):
            return replace(line, nick=MODEL)
        if is_notice(line):
            return replace(line, content=self._notice(line.content))
        if line.nick == HUMAN:
            return replace(line, content=self._heard(line.content))
        return Message(HUMAN, f"{self.called(line.nick)}: {line.content}")

    def _heard(self, content: str) -> str:
        """What a human says, without this person's nick where it is spoken to, as IRC has it."""
        if content.startswith("/"):
            name, _, whom = content.partition(" ")
            about = name in ("/whois", "/slap", "/invite", "/kick") and whom == self.nick
            return f"{name} {MODEL}" if about else content
        to_it = rf"{re.escape(self.called(self.nick))}[:,]\s+(?=\S)"
        if self.human:
            return f"{self.human}: {re.sub(f'^{to_it}', '', content, flags=re.IGNORECASE)}"
        return re.sub(rf"^([^\s:]+: ){to_it}", r"\1", content, flags=re.IGNORECASE)

    def _notice(self, content: str) -> str:
        """A line of IRC's own; where it is about this person, it is about `user`."""
        bio = f"* {self.nick}'s bio: "
        if content.startswith(bio):
            return f"* {MODEL}'s bio: {content.removeprefix(bio)}"
        about = rf"( slaps | used /(?:invite|kick) ){re.escape(self.nick)}(?= around a bit|$)"
        return re.sub(about, rf"\1{MODEL}", content)


def is_opening(message: Message) -> bool:
    """Whether a message is the /join with which the program opens a scene in the model's name."""
    return message.nick == MODEL and message.content.startswith("/join #") and not message.generated


def role_of(nick: str) -> str:
    """The nick of Relay's role that somebody has in the own view: `user` for a person's."""
    return nick if nick in ROLES else MODEL


def people_of(lines: Sequence[Message]) -> list[str]:
    """The nicks of people beside Relay's own that speak in a channel, or were introduced in it."""
    found: dict[str, None] = {}
    for line in lines:
        if line.nick not in ROLES:
            found[line.nick] = None
        elif is_notice(line) and (bio := _BIO.match(line.content)):
            found[bio[1]] = None
    return [nick for nick in found if nick not in ROLES]
