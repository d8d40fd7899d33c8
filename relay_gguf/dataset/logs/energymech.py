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
from .line import OTHER, Event, Kind
from .sentences import HOST, NICK, heard, hint, sentences, split_rank

NAME: Final = "energymech"

_SENTENCES: Final = sentences(
    (rf"Joins: {NICK} {HOST}.*", Kind.JOINED),
    (rf"(?:Parts|Quits): {NICK} {HOST}.*", Kind.LEFT),
    (rf"{NICK} was kicked by .*", Kind.LEFT),
    (rf"{NICK} is now known as (?P<text>\S+)", Kind.NICK),
    (rf"{NICK} changes topic to '(?P<text>.*)'", Kind.TOPIC),
    (rf"{NICK} sets mode: .*", Kind.MODE),
)
_SAID: Final = re.compile(r"<([^\s>]+)>(?: (.*)|$)", re.DOTALL)
_ACTED: Final = re.compile(r"\* (\S+)(?: (.*)|$)", re.DOTALL)
_NOTICE: Final = re.compile(r"-([^\s!]+)- ")
_ZNC: Final = ("Connected to IRC (", "Disconnected from IRC (", "Broadcast: ")


def read(body: str, sep: str, clock: Clock) -> Event | None:
    """What a line says, its time taken off; None if this is no line of energymech's."""
    if not sep:
        return None
    if match := _SAID.match(body):
        return Event(Kind.SAID, split_rank(match[1]), match[2] or "")
    if body.startswith("*** "):
        return hint(heard(body[4:].rstrip(), _SENTENCES))
    if match := _ACTED.match(body):
        return Event(Kind.ACTED, split_rank(match[1]), match[2] or "")
    if match := _NOTICE.match(body):
        return Event(Kind.NOTICE, match[1], body[match.end() :])
    return OTHER if body.startswith(_ZNC) else None
