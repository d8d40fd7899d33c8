"""irssi's logs, as its default theme writes them.

    --- Log opened Wed Nov 15 12:00:00 2023
    12:00 -!- ann [~ann@host] has joined #boats
    12:00 <@bob> hello
    12:00  * bob waves
    12:00 -bob:#boats- listen
    --- Day changed Thu Nov 16 2023

The sentences are those of fe-common/core/module-formats.c, fe-common/irc/module-formats.c and of
themes/default.theme; the time may have any shape that `clock` knows (`log_timestamp`).
"""

from __future__ import annotations

import re
from typing import Final

from .clock import Clock
from .log_line import OTHER, LineKind, LogEvent
from .sentences import CHANNEL, EXPORTED, HOST, NICK, heard, hint, sentences, split_rank

NAME: Final = "irssi"

_SAID: Final = re.compile(r"<( ?[^\s>]+)>(?: (.*)|$)", re.DOTALL)
_ACTED: Final = re.compile(r" ?\* ([^\s*]\S*)(?: (.*)|$)", re.DOTALL)
_NOTICE: Final = re.compile(r"-([^\s():!]+)(?:[:(]\S*)?- ")
_PRIVATE: Final = re.compile(r"\[(?:msg\()?([^\s()\[\]]+)\(?[^\s\]]*\] ")
_HEAD: Final = re.compile(r"--- (?:Log (?:opened|closed)|(Day changed)) ?(.*)")
_ACCOUNT: Final = rf"{HOST}(?: \[\S*\])?(?: \[.*\])?"

_SENTENCES: Final = (
    *sentences(
        (rf"{NICK} {_ACCOUNT} has joined {CHANNEL}", LineKind.JOINED),
        (rf"{NICK} {HOST} has left {CHANNEL}.*", LineKind.LEFT),
        (rf"(?:{CHANNEL} )?{NICK} {HOST} has quit.*", LineKind.LEFT),
        (rf"{NICK} was kicked from {CHANNEL} by .*", LineKind.LEFT),
        (rf"{NICK} is now known as (?P<text>\S+)", LineKind.NICK),
        (r"You're now known as (?P<text>\S+)", LineKind.NICK),
        (rf"{NICK} changed the topic of {CHANNEL} to: (?P<text>.*)", LineKind.TOPIC),
        (rf"Topic for {CHANNEL}: (?P<text>.*)", LineKind.TOPIC),
        (rf"Topic unset by {NICK} on {CHANNEL}", LineKind.TOPIC),
        (rf"(?:Irssi: )?{CHANNEL}: Total of \d+ nicks.*", LineKind.NAMES),
        (rf"(?:ServerMode|mode)/{CHANNEL} .*", LineKind.MODE),
    ),
    *EXPORTED,
)


def read(body: str, sep: str, clock: Clock) -> LogEvent | None:
    """The event of a line without its time; None if this is not a line of irssi's."""
    if match := _SAID.match(body):
        return LogEvent(LineKind.SAID, split_rank(match[1].partition(":#")[0]), match[2] or "")
    if body.startswith("-!- "):
        return hint(heard(body[4:].rstrip(), _SENTENCES))
    if match := _ACTED.match(body) if sep else None:
        return LogEvent(LineKind.ACTED, split_rank(match[1]), match[2] or "")
    if not sep and (match := _HEAD.fullmatch(body)):
        if not clock.set_date(match[2]) and match[1]:
            clock.next_day()
        return OTHER
    if match := (_NOTICE.match(body) or _PRIVATE.match(body)) if sep else None:
        return LogEvent(LineKind.NOTICE, match[1], body[match.end() :])
    if sep and body.startswith(("[Users #", "[@", "[ ", "[+", "!", "Irssi: ", "<-- ", "--> ")):
        return OTHER
    return None
