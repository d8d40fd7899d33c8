"""Turns: a line of a log as the messages of Relay's context.

- A line that somebody says: a line of `anon`; of the model, a line of `user`.
- An action of somebody else: `/me waves` and `* anon used /me waves`, as Relay's wildcard writes
  any command. Slaps with the trout that meet the model have their own two lines.
- An action of the model: `*waves*`. The model writes lines of `user` and nothing else, no lines of
  IRC, so it learns to act within them.
- A change of topic: the lines of `/topic`, of whoever changed it.
- A bio or a command in an export of ours: the lines that it was exported from.

All else (joins, parts, modes, kicks, notices of third persons) is left out: Relay was trained on
two people in a channel.

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

from .logs.log_line import LogLine
from .masks import Masks
from .people import People

_ADDRESS: Final = re.compile(r"(?:@?([^\s:,@<>]+)[:,](?:\s+|$)|@([^\s:,@<>]+)(?:\s+|$))")
_TROUT: Final = re.compile(r"slaps (\S+) (?:around )?(?:a bit )?with a (?:\w+ )*trout\W*")


class LogTurn(NamedTuple):
    """A turn of one person: a line, or a command and IRC's answer; `time` in seconds."""

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
class TurnStyle:
    """Whether nicks are written before lines, and whether they are masked."""

    prefix_nicks: bool = False
    masks: Masks | None = None


class LogTurns:
    """Makes the turns of a log."""

    def __init__(self, people: People, style: TurnStyle) -> None:
        self._people = people
        self._style = style

    def role(self, nick: str) -> Role:
        """The role of a nick: the model, or the human."""
        return "model" if self._people.is_model(nick) else "input"

    def said(self, line: LogLine) -> LogTurn:
        """The turn of a line that somebody said."""
        role = self.role(line.nick)
        text = self._without_address(line.text, role)
        text = self.clean(text) or SILENCE
        if role == "input" and self._style.prefix_nicks:
            text = f"{self._shown(line.nick)}: {text}"
        return self._turn(line, role, (Message(NICKS[role], text),))

    def acted(self, line: LogLine) -> LogTurn:
        """The turn of an action."""
        role = self.role(line.nick)
        text = self.clean(line.text)
        if role == "model":
            return self._turn(line, role, (Message(NICKS[role], f"*{text}*"),))
        if (match := _TROUT.fullmatch(line.text)) and self._people.is_model(match[1]):
            messages = slap(NICKS, role)
        else:
            messages = wildcard(NICKS, role, "/me", text)
        return self._turn(line, role, messages, said=False)

    def topic(self, line: LogLine, role: Role, channel: str, text: str) -> LogTurn:
        """The turn of a change of topic to a `text` that `clean` returned."""
        return self._turn(line, role, topic(NICKS, role, channel, text), said=False)

    def bio(self, line: LogLine, role: Role) -> LogTurn:
        """The turn of a bio, which the other person asked for."""
        return self._turn(line, role, cast(NICKS, role, self.clean(line.text)), said=False)

    def used(self, line: LogLine) -> LogTurn:
        """The turn of a command, with Relay's answer to any command."""
        role = self.role(line.nick)
        command, _, argument = self.clean(line.text).partition(" ")
        messages = wildcard(NICKS, role, command, argument)
        return self._turn(line, role, messages, said=False)

    def clean(self, text: str) -> str:
        """A text with nicks masked, and without ChatML's tokens, which begin another turn."""
        text = text.strip()
        if self._style.masks is not None:
            text = self._style.masks.mask_text(text, self._people)
        return text.replace("<|", "< |") if "<|" in text else text

    def _shown(self, nick: str) -> str:
        masks = self._style.masks
        return nick if masks is None else masks.mask(nick)

    def _turn(
        self, line: LogLine, role: Role, messages: tuple[Message, ...], *, said: bool = True
    ) -> LogTurn:
        nick = self._people.named(line.nick) if role == "model" else line.nick
        return LogTurn(role, nick, messages, line.time, said)

    def _without_address(self, text: str, role: Role) -> str:
        match = _ADDRESS.match(text) if ":" in text or "," in text or text[0] == "@" else None
        if match is None:
            return text
        whom = match[1] or match[2]
        if self._people.is_model(whom):
            return text[match.end() :]
        keeps = role == "input" or self._style.prefix_nicks
        return text if keeps or not self._people.is_known(whom) else text[match.end() :]
