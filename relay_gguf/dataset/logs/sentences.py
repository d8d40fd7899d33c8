"""Sentences of clients about joins, topics and the like, and the kind of each.

A reader has a table of its client's sentences. Here are the parts that several clients share, and
the sentences that our own `/export` writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .log_line import OTHER, LineKind, LogEvent

NICK: Final = r"(?P<nick>[^\s<>,#][^\s<>,]*)"
CHANNEL: Final = r"(?P<channel>[#&+!][^\s,]*)"
HOST: Final = r"[\[(][^\s@\])]*[@!][^\s\])]*[\])]"
"""`[user@host]` or `(user@host)`, whose content no reader takes."""

Sentence = tuple[re.Pattern[str], LineKind]


def sentences(*table: tuple[str, LineKind]) -> tuple[Sentence, ...]:
    """A table of patterns, whose groups are named as the fields of `LogEvent`."""
    return tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in table)


def heard(text: str, table: Sequence[Sentence]) -> LogEvent | None:
    """The event of a sentence, by the first pattern that matches the whole of it; else None."""
    for pattern, kind in table:
        if match := pattern.fullmatch(text):
            return LogEvent(
                kind, **{name: value or "" for name, value in match.groupdict().items()}
            )
    return None


def split_rank(nick: str, ranks: str = " @+%&~!") -> str:
    """A nick without the rank before it."""
    return nick[1:] if len(nick) > 1 and nick[0] in ranks else nick


EXPORTED: Final = sentences(
    (rf"Now talking in {CHANNEL}", LineKind.ENTERED),
    (rf"{NICK} has joined {CHANNEL}", LineKind.JOINED),
    (rf"Topic for {CHANNEL} is: (?P<text>.*)", LineKind.TOPIC),
    (rf"{NICK}'s bio: (?P<text>.*)", LineKind.BIO),
    (rf"{NICK} (?P<text>slaps \S+ around a bit with a large trout)", LineKind.ACTED),
    (rf"{NICK} used (?P<text>/\S.*)", LineKind.USED),
)
"""What our own export writes for irssi and WeeChat: Relay's notices without their star."""


def hint(event: LogEvent | None) -> LogEvent:
    """An event, or `OTHER` for a sentence that is not in the table."""
    return OTHER if event is None else event
