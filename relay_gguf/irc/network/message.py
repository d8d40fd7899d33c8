"""A message of one or more lines, and how it looks to each client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.splitting import pieces, room

from .limits import Limits

CTCP: Final = "\x01"
ACTION: Final = f"{CTCP}ACTION "

REPLY_TAG: Final = "relay-gguf/reply"
"""Which of how many replies to the same words a message is: `2/3`."""
TOKENS_TAG: Final = "relay-gguf/tokens"
"""The tokens of a message that a model wrote."""
SECONDS_TAG: Final = "relay-gguf/seconds"
"""How long that took."""
CHOICE_TAG: Final = "relay-gguf/choice"
"""The number of a reply in a notice of the server, where there are several to choose from."""
WRITING: Final = "relay-gguf/writing"
"""The capability to see what is being written, and the tag of a TAGMSG with the text so far."""

NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})

MessageKind = Literal["privmsg", "action", "notice"]
"""A message, a `/me`, or a notice, which must not be answered automatically."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The text of one PRIVMSG or NOTICE line.

    With `joins` it continues the line before it (draft/multiline-concat).
    """

    text: str
    joins: bool = False


@dataclass(slots=True)
class Batch:
    """A multiline message that a client is sending (IRCv3 draft/multiline).

    `size` is its text in bytes of UTF-8, with a line feed between lines.
    """

    target: str
    tags: dict[str, str]
    fragments: list[Fragment] = field(default_factory=list)
    size: int = 0
    label: str = ""
    """Of the command that began it; its answer comes when the message is whole."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message on its way: PRIVMSG, NOTICE or, without fragments, TAGMSG.

    `source` is `nick!user@host`; `tags` are those of the whole message.
    """

    source: str
    verb: str
    target: str
    fragments: tuple[Fragment, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether every fragment fits into a line of IRC."""
        size = room(self.source, self.verb, self.target)
        return all(len(fragment.text.encode()) <= size for fragment in self.fragments)

    @property
    def kind(self) -> MessageKind:
        """What it is for people: an action, a notice, or a message, which CTCP requests are too."""
        if self.text.startswith(ACTION):
            return "action"
        return "notice" if self.verb == "NOTICE" else "privmsg"

    @property
    def text(self) -> str:
        """The whole text, with line feeds between its lines."""
        text = ""
        for n, fragment in enumerate(self.fragments):
            text += fragment.text if fragment.joins or n == 0 else f"\n{fragment.text}"
        return text


def lines(message: SentMessage, caps: AbstractSet[str], ref: str) -> Iterator[Line]:
    """The lines in which a client with these capabilities gets a message.

    Several fragments come as one batch called `ref`; a client without batches gets them one after
    another, blank ones left out and the message's id on the first only (draft/multiline, Fallback).
    """
    source, verb, target = message.source, message.verb, message.target
    if verb == "TAGMSG":
        if "message-tags" in caps:
            yield Line(verb, (target,), source, message.tags)
        return
    if len(message.fragments) == 1 or not caps >= {"batch", "draft/multiline"}:
        tags = dict(message.tags)
        for fragment in message.fragments:
            if fragment.text.strip(" ") or len(message.fragments) == 1:
                yield Line(verb, (target, fragment.text), source, dict(tags))
                tags.pop("msgid", None)
        return
    yield Line("BATCH", (f"+{ref}", "draft/multiline", target), source, message.tags)
    for fragment in message.fragments:
        concat = {"draft/multiline-concat": ""} if fragment.joins else {}
        yield Line(verb, (target, fragment.text), source, {"batch": ref, **concat})
    yield Line("BATCH", (f"-{ref}",), source)


def compose(
    source: str, target: str, text: str, kind: MessageKind, limits: Limits
) -> Iterator[tuple[str, tuple[Fragment, ...]]]:
    """A text of any length and any number of lines as messages: verb and fragments of each.

    Only a PRIVMSG may have several fragments. Control characters are left out, so that no text can
    become a CTCP command.
    """
    verb = "NOTICE" if kind == "notice" else "PRIVMSG"
    size = room(source, verb, target) - (len(ACTION) + 1 if kind == "action" else 0)
    fragments = [
        Fragment(piece, joins=n > 0)
        for line in text.replace("\r\n", "\n").split("\n")
        for n, piece in enumerate(pieces(clean(line), size))
    ]
    if kind == "privmsg":
        for group in _groups(fragments, limits):
            if any(fragment.text.strip(" ") for fragment in group):
                yield verb, group
        return
    for fragment in fragments:
        if fragment.text.strip(" "):
            whole = f"{ACTION}{fragment.text}{CTCP}" if kind == "action" else fragment.text
            yield verb, (Fragment(whole),)


def _groups(fragments: list[Fragment], limits: Limits) -> Iterator[tuple[Fragment, ...]]:
    """Groups within the limits of a multiline batch, without blank fragments at either end."""
    group: list[Fragment] = []
    taken = 0
    for fragment in fragments:
        more = len(fragment.text.encode("utf-8", "replace")) + 1
        if len(group) == limits.batch_lines or taken + more > limits.batch_bytes:
            yield _trimmed(group)
            group, taken = [], 0
        group.append(fragment)
        taken += more
    yield _trimmed(group)


def _trimmed(group: list[Fragment]) -> tuple[Fragment, ...]:
    while group and not group[-1].text.strip(" "):
        group = group[:-1]
    while group and not group[0].text.strip(" "):
        group = group[1:]
    if group:
        group = [Fragment(group[0].text), *group[1:]]
    return tuple(group)
