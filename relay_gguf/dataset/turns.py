"""What a line of a log becomes in Relay's context.

- What somebody says: a line of `anon`; of the model, a line of `user`.
- What somebody else does: `/me waves` and `* anon used /me waves`, as Relay's wildcard writes any
  command. Slaps with the trout that meet the model have their own two lines.
- What the model does: `*waves*`. The model writes lines of `user` and nothing else, no lines of
  IRC, so it learns to act within them.
- A change of topic: the lines of `/topic`, of whoever changed it.
- A bio or a command in an export of ours: the lines that it was exported from.

All else (joins, parts, modes, kicks, notices of third persons) is no part of what Relay was trained
on, which has two people in a channel, and is left out.

`ann: hello` becomes `hello` where ann is the model, and in a line of the model `bob: hello` too,
for in a conversation nobody is called bob; unless nicks are kept with `--prefix-nicks`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from relay_gguf.conversation.messages import (
    NICKS,
    SILENCE,
    Message,
    Role,
    cast,
    slap,
    topic,
    wildcard,
)

from .logs.line import Line
from .masks import Masks
from .people import People

_ADDRESS: Final = re.compile(r"(?:@?([^\s:,@<>]+)[:,](?:\s+|$)|@([^\s:,@<>]+)(?:\s+|$))")
_TROUT: Final = re.compile(r"slaps (\S+) (?:around )?(?:a bit )?with a (?:\w+ )*trout\W*")


class Turn(NamedTuple):
    """What one person does at once: a line, or a command and what IRC answers."""

    role: Role
    nick: str
    messages: tuple[Message, ...]
    time: float | None
    said: bool

    @property
    def replies(self) -> bool:
        """Whether the model says or does something here."""
        return self.said and self.role == "model"


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are written down."""

    prefix_nicks: bool = False
    masks: Masks | None = None


class Turns:
    """The turns of one log."""

    def __init__(self, people: People, style: Style) -> None:
        self._people = people
        self._style = style

    def role(self, nick: str) -> Role:
        """Who somebody is to Relay."""
        return "model" if self._people.is_model(nick) else "input"

    def said(self, line: Line) -> Turn:
        """A line that somebody said."""
        role = self.role(line.nick)
        text = self._without_address(line.text, role)
        text = self.clean(text) or SILENCE
        if role == "input" and self._style.prefix_nicks:
            text = f"{self._shown(line.nick)}: {text}"
        return self._turn(line, role, (Message(NICKS[role], text),))

    def acted(self, line: Line) -> Turn:
        """Something that somebody did."""
        role = self.role(line.nick)
        text = self.clean(line.text)
        if role == "model":
            return self._turn(line, role, (Message(NICKS[role], f"*{text}*"),))
        if (match := _TROUT.fullmatch(line.text)) and self._people.is_model(match[1]):
            messages = slap(NICKS, role)
        else:
            messages = wildcard(NICKS, role, "/me", text)
        return self._turn(line, role, messages, said=False)

    def topic(self, line: Line, role: Role, channel: str, text: str) -> Turn:
        """A change of topic to what `clean` made of it."""
        return self._turn(line, role, topic(NICKS, role, channel, text), said=False)

    def bio(self, line: Line, role: Role) -> Turn:
        """Somebody asks who the other is."""
        return self._turn(line, role, cast(NICKS, role, self.clean(line.text)), said=False)

    def used(self, line: Line) -> Turn:
        """A command, and the line that Relay answers to any."""
        role = self.role(line.nick)
        command, _, argument = self.clean(line.text).partition(" ")
        messages = wildcard(NICKS, role, command, argument)
        return self._turn(line, role, messages, said=False)

    def clean(self, text: str) -> str:
        """A text with nicks masked, which no tokenizer takes for the begin of another turn."""
        text = text.strip()
        if self._style.masks is not None:
            text = self._style.masks.mask_text(text, self._people)
        return text.replace("<|", "< |") if "<|" in text else text

    def _shown(self, nick: str) -> str:
        masks = self._style.masks
        return nick if masks is None else masks.mask(nick)

    def _turn(
        self, line: Line, role: Role, messages: tuple[Message, ...], *, said: bool = True
    ) -> Turn:
        nick = self._people.named(line.nick) if role == "model" else line.nick
        return Turn(role, nick, messages, line.time, said)

    def _without_address(self, text: str, role: Role) -> str:
        match = _ADDRESS.match(text) if ":" in text or "," in text or text[0] == "@" else None
        if match is None:
            return text
        whom = match[1] or match[2]
        if self._people.is_model(whom):
            return text[match.end() :]
        keeps = role == "input" or self._style.prefix_nicks
        return text if keeps or not self._people.is_known(whom) else text[match.end() :]
