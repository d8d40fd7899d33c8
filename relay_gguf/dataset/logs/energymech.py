"""energymech's logs, which ZNC's log module writes too.

    [12:00:00] *** Joins: ann (~ann@host)
    [12:00:01] <bob> hello
    [12:00:02] * bob waves
    [12:00:03] *** bob changes topic to 'boats'

The sentences are those of ZNC's modules/log.cpp. The day is in the file's name.
"""

from __future__ import annotations

import re
from typing import Final

from .clock import Clock
from .log_line import OTHER, LineKind, LogEvent
from .sentences import HOST, NICK, heard, hint, sentences, split_rank

NAME: Final = "energymech"

_SENTENCES: Final = sentences(
    (rf"Joins: {NICK} {HOST}.*", LineKind.JOINED),
    (rf"(?:Parts|Quits): {NICK} {HOST}.*", LineKind.LEFT),
    (rf"{NICK} was kicked by .*", LineKind.LEFT),
    (rf"{NICK} is now known as (?P<text>\S+)", LineKind.NICK),
    (rf"{NICK} changes topic to '(?P<text>.*)'", LineKind.TOPIC),
    (rf"{NICK} sets mode: .*", LineKind.MODE),
)
_SAID: Final = re.compile(r"<([^\s>]+)>(?: (.*)|$)", re.DOTALL)
_ACTED: Final = re.compile(r"\* (\S+)(?: (.*)|$)", re.DOTALL)
_NOTICE: Final = re.compile(r"-([^\s!]+)- ")
_ZNC: Final = ("Connected to IRC (", "Disconnected from IRC (", "Broadcast: ")


def read(body: str, sep: str, clock: Clock) -> LogEvent | None:
    """The event of a line without its time; None if this is not a line of energymech's."""
    if not sep:
        return None
    if match := _SAID.match(body):
        return LogEvent(LineKind.SAID, split_rank(match[1]), match[2] or "")
    if body.startswith("*** "):
        return hint(heard(body[4:].rstrip(), _SENTENCES))
    if match := _ACTED.match(body):
        return LogEvent(LineKind.ACTED, split_rank(match[1]), match[2] or "")
    if match := _NOTICE.match(body):
        return LogEvent(LineKind.NOTICE, match[1], body[match.end() :])
    return OTHER if body.startswith(_ZNC) else None
