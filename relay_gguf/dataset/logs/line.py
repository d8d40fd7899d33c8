"""What a line of a log says, whichever client wrote it."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple


class Kind(Enum):
    """What happened. Of `nick` and `text` each kind has what stands behind it."""

    SAID = "said"  # who, what
    ACTED = "acted"  # who, what: `waves`
    JOINED = "joined"  # who
    LEFT = "left"  # who: part, quit or kick
    TOPIC = "topic"  # who, or nobody if the client only shows it; the topic
    NICK = "nick change"  # the old nick, or nobody for the log's owner; the new one
    MODE = "mode"
    NOTICE = "notice"  # who; also what is for one person alone
    ENTERED = "entered"  # the log's owner comes into a channel
    NAMES = "names"  # who is in the channel: what its owner gets for coming in
    BIO = "bio"  # whose, what: only in our own exports
    USED = "used"  # who, the command: only in our own exports
    OTHER = "other"  # known, and nothing to learn from


class Event(NamedTuple):
    """What a line says, before its time and channel are known: `channel` only if it is named.

    A named tuple, as `Line` is: these are made a hundred thousand times a second.
    """

    kind: Kind
    nick: str = ""
    text: str = ""
    channel: str = ""


class Line(NamedTuple):
    """A line of a log.

    `time` counts seconds on the wall clock of whoever logged; None where the log has no times.
    """

    kind: Kind
    nick: str
    text: str
    channel: str
    time: float | None


OTHER: Final = Event(Kind.OTHER)

MODES: Final = "@+%&~!"
"""What a client may put before a nick: its rank in the channel."""

_FOLDED: Final = str.maketrans("[]\\~", "{}|^")


@lru_cache(1 << 14)
def fold(nick: str) -> str:
    """A nick as servers compare it: to IRC, `[]\\~` are the capitals of `{}|^` (RFC 1459, 2.2)."""
    return nick.lower().translate(_FOLDED)
