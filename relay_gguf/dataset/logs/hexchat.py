"""HexChat's logs, and those of XChat before it: a tab stands behind the nick or the star.

    **** BEGIN LOGGING AT Wed Nov 15 12:00:00 2023

    Nov 15 12:00:00 *→Now talking on #boats
    Nov 15 12:00:01 <bob>→hello
    Nov 15 12:00:02 *→bob waves

(→ is the tab.) The sentences are those of HexChat's textevents.in. Events have a sign of their own
(`-->`, `<--`, `---`) or the star of an action, as the theme says; behind a star, what is no known
sentence is an action. The sentence must be whole: `bob has quit smoking` is an action.
"""

from __future__ import annotations

import re
from typing import Final

from .clock import Clock
from .log_line import OTHER, LineKind, LogEvent
from .sentences import CHANNEL, HOST, NICK, heard, hint, sentences, split_rank

NAME: Final = "hexchat"

_SENTENCES: Final = sentences(
    (rf"(?:You are n|N)ow talking (?:on|in) {CHANNEL}", LineKind.ENTERED),
    (rf"{NICK} {HOST} has joined(?: {CHANNEL})?", LineKind.JOINED),
    (rf"{NICK} {HOST} has left(?: {CHANNEL})?(?: \(.*\))?", LineKind.LEFT),
    (rf"{NICK} has quit \(.*\)", LineKind.LEFT),
    (rf"\S+ has kicked {NICK} from {CHANNEL} \(.*\)", LineKind.LEFT),
    (rf"Topic for {CHANNEL} is:? (?P<text>.*)", LineKind.TOPIC),
    (rf"{NICK} has changed the topic to: (?P<text>.*)", LineKind.TOPIC),
    (r"You are now known as (?P<text>\S+)", LineKind.NICK),
    (rf"{NICK} is now known as (?P<text>\S+)", LineKind.NICK),
    (rf"{NICK} sets modes? .*", LineKind.MODE),
    (r"\S+ (?:sets|gives|removes) (?:ban|exempt|invite|channel|voice|user limit).*", LineKind.MODE),
    # Sentences of the client itself, behind the same star as an action.
    (r"Topic for \S+ set by .*|Channel \S+ (?:modes|url|created).*|#\S+ .*", LineKind.OTHER),
    (r"Disconnected \(.*\)\.?|Connected\..*|(?:Connecting|Looking up) .*\.\.", LineKind.OTHER),
    (
        r"You (?:have|are|'re) .*|You've .*|\[\S+\] .*|Ping reply from .*|Received a .*",
        LineKind.OTHER,
    ),
    (r"Connection failed.*|Stopped previous .*|Capabilities .*|Found your IP: .*", LineKind.OTHER),
    (r"(?:DCC|Cannot|Nickname|No such|Notify|Loaded|\S+ in use\.) .*", LineKind.OTHER),
)
_SAID: Final = re.compile(r"<([^\t>]+)>\t")
_EVENT: Final = re.compile(r"(\*|\*\*\*?|---|-->|<--|-\*-)\t")
_NOTICE: Final = re.compile(r"(?:-([^\s/]+)(?:/\S+)?-|\*([^\s*]+)\*|>([^\s<>]+)<)\t")


def read(body: str, sep: str, clock: Clock) -> LogEvent | None:
    """The event of a line without its time; None if this is not a line of HexChat's."""
    if match := _SAID.match(body):
        return LogEvent(LineKind.SAID, split_rank(match[1]), body[match.end() :])
    if match := _EVENT.match(body):
        text = body[match.end() :]
        event = heard(text.rstrip(), _SENTENCES)
        if event is None and match[1] in ("*", "-*-"):
            nick, _, text = text.partition(" ")
            return LogEvent(LineKind.ACTED, split_rank(nick), text) if nick else OTHER
        return hint(event)
    if match := _NOTICE.match(body):
        return LogEvent(LineKind.NOTICE, match[1] or match[2] or match[3], body[match.end() :])
    if not sep and body.startswith("**** "):
        clock.set_date(body)
        return OTHER
    return None
