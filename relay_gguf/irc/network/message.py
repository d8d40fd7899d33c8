"""What is said: a message of one or more lines, and how it looks to each client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.splitting import pieces, room

from .hooks import Kind
from .limits import Limits

CTCP: Final = "\x01"
ACTION: Final = f"{CTCP}ACTION "


@dataclass(frozen=True, slots=True)
class Part:
    """A line of a message; one that `joins` continues the line before (draft/multiline-concat)."""

    text: str
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Speech:
    """A message: PRIVMSG, NOTICE or, without parts, TAGMSG; `tags` are those of the whole."""

    source: str
    verb: str
    target: str
    parts: tuple[Part, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether every part fits into a line."""
        size = room(self.source, self.verb, self.target)
        return all(len(part.text.encode()) <= size for part in self.parts)

    @property
    def text(self) -> str:
        """All of it, its lines with line breaks between them."""
        text = ""
        for n, part in enumerate(self.parts):
            text += part.text if part.joins or n == 0 else f"\n{part.text}"
        return text


def lines(speech: Speech, caps: AbstractSet[str], ref: str) -> Iterator[Line]:
    """The lines in which a client with these capabilities gets a message.

    Several parts come as one batch called `ref`, or one after another, without blank ones and the
    message's id on the first only (draft/multiline, Fallback).
    """
    source, verb, target = speech.source, speech.verb, speech.target
    if verb == "TAGMSG":
        if "message-tags" in caps:
            yield Line(verb, (target,), source, speech.tags)
        return
    if len(speech.parts) == 1 or not caps >= {"batch", "draft/multiline"}:
        tags = dict(speech.tags)
        for part in speech.parts:
            if part.text.strip(" ") or len(speech.parts) == 1:
                yield Line(verb, (target, part.text), source, dict(tags))
                tags.pop("msgid", None)
        return
    yield Line("BATCH", (f"+{ref}", "draft/multiline", target), source, speech.tags)
    for part in speech.parts:
        concat = {"draft/multiline-concat": ""} if part.joins else {}
        yield Line(verb, (target, part.text), source, {"batch": ref, **concat})
    yield Line("BATCH", (f"-{ref}",), source)


def compose(
    source: str, target: str, text: str, kind: Kind, limits: Limits
) -> Iterator[tuple[str, tuple[Part, ...]]]:
    """A text of any length and any number of lines as messages: each a verb and its parts.

    Only PRIVMSG may have several parts; control characters are left out, so that no text can
    become a command of CTCP.
    """
    verb = "NOTICE" if kind == "notice" else "PRIVMSG"
    size = room(source, verb, target) - (len(ACTION) + 1 if kind == "action" else 0)
    parts = [
        Part(piece, joins=n > 0)
        for line in text.replace("\r\n", "\n").split("\n")
        for n, piece in enumerate(pieces(clean(line), size))
    ]
    if kind == "privmsg":
        for group in _groups(parts, limits):
            if any(part.text.strip(" ") for part in group):
                yield verb, group
        return
    for part in parts:
        if part.text.strip(" "):
            whole = f"{ACTION}{part.text}{CTCP}" if kind == "action" else part.text
            yield verb, (Part(whole),)


def _groups(parts: list[Part], limits: Limits) -> Iterator[tuple[Part, ...]]:
    """Parts in groups, each within the limits of a multiline batch; no blank one at an end."""
    group: list[Part] = []
    taken = 0
    for part in parts:
        more = len(part.text.encode("utf-8", "replace")) + 1
        if len(group) == limits.batch_lines or taken + more > limits.batch_bytes:
            yield _trimmed(group)
            group, taken = [], 0
        group.append(part)
        taken += more
    yield _trimmed(group)


def _trimmed(group: list[Part]) -> tuple[Part, ...]:
    while group and not group[-1].text.strip(" "):
        group = group[:-1]
    while group and not group[0].text.strip(" "):
        group = group[1:]
    if group:
        group = [Part(group[0].text), *group[1:]]
    return tuple(group)
