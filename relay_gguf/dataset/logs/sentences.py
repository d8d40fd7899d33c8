"""What clients write about joins, topics and the like: the sentences, and the kind of each.

A reader brings a table of its client's sentences. Those that several clients share, and those that
our own `/export` writes, are here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .line import OTHER, Event, Kind

NICK: Final = r"(?P<nick>[^\s<>,#][^\s<>,]*)"
CHANNEL: Final = r"(?P<channel>[#&+!][^\s,]*)"
HOST: Final = r"[\[(][^\s@\])]*[@!][^\s\])]*[\])]"
"""`[user@host]` or `(user@host)`: no reader ever takes what is in it."""

Sentence = tuple[re.Pattern[str], Kind]


def sentences(*table: tuple[str, Kind]) -> tuple[Sentence, ...]:
    """A table of patterns; their groups are named as the fields of `Event`."""
    return tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in table)


def heard(text: str, table: Sequence[Sentence]) -> Event | None:
    """What a sentence says, by the first pattern that is the whole of it."""
    for pattern, kind in table:
        if match := pattern.fullmatch(text):
            return Event(kind, **{name: value or "" for name, value in match.groupdict().items()})
    return None


def split_rank(nick: str, ranks: str = " @+%&~!") -> str:
    """A nick without the rank that a client puts before it."""
    return nick[1:] if len(nick) > 1 and nick[0] in ranks else nick


EXPORTED: Final = sentences(
    (rf"Now talking in {CHANNEL}", Kind.ENTERED),
    (rf"{NICK} has joined {CHANNEL}", Kind.JOINED),
    (rf"Topic for {CHANNEL} is: (?P<text>.*)", Kind.TOPIC),
    (rf"{NICK}'s bio: (?P<text>.*)", Kind.BIO),
    (rf"{NICK} (?P<text>slaps \S+ around a bit with a large trout)", Kind.ACTED),
    (rf"{NICK} used (?P<text>/\S.*)", Kind.USED),
)
"""What our own export writes for irssi and WeeChat: Relay's notices without their star."""


def hint(event: Event | None) -> Event:
    """An event, or one that says nothing, for sentences that need not be known."""
    return OTHER if event is None else event
