"""A line of a log, whichever client wrote it: its kind, nick, text, channel and time."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple


class LineKind(Enum):
    """What happened in a line; the comments tell the `nick` and `text` of each kind."""

    SAID = "said"  # who, what
    ACTED = "acted"  # who, what: `waves`
    JOINED = "joined"  # who
    LEFT = "left"  # who: part, quit or kick
    TOPIC = "topic"  # who, or nobody if the client only shows it; the topic
    NICK = "nick change"  # the old nick, or nobody for the log's owner; the new one
    MODE = "mode"
    NOTICE = "notice"  # who; also messages to one person alone
    ENTERED = "entered"  # the log's owner joins a channel
    NAMES = "names"  # who is in the channel, which its owner is told on joining
    BIO = "bio"  # whose, what: only in our own exports
    USED = "used"  # who, the command: only in our own exports
    OTHER = "other"  # known, without use here


class LogEvent(NamedTuple):
    """A line without its time; `channel` is empty unless the line names it.

    A named tuple, as `LogLine` is: a hundred thousand are made in a second.
    """

    kind: LineKind
    nick: str = ""
    text: str = ""
    channel: str = ""


class LogLine(NamedTuple):
    """A line of a log.

    `time` counts seconds on the wall clock of the log's owner; None where the log has no times.
    """

    kind: LineKind
    nick: str
    text: str
    channel: str
    time: float | None


OTHER: Final = LogEvent(LineKind.OTHER)

MODES: Final = "@+%&~!"
"""Characters that a client may put before a nick: its rank in the channel."""

_FOLDED: Final = str.maketrans("[]\\~", "{}|^")


@lru_cache(1 << 14)
def fold(nick: str) -> str:
    """A nick as servers compare it: to IRC, `[]\\~` are the capitals of `{}|^` (RFC 1459, 2.2)."""
    return nick.lower().translate(_FOLDED)
