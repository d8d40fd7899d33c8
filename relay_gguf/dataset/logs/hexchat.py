"""HexChat's logs, and those of XChat before it: a tab stands behind the nick or the star.

    **** BEGIN LOGGING AT Wed Nov 15 12:00:00 2023

    Nov 15 12:00:00 *→Now talking on #boats
    Nov 15 12:00:01 <bob>→hello
    Nov 15 12:00:02 *→bob waves

(→ is the tab.) The sentences are those of HexChat's textevents.in. Events have a sign of their own
(`-->`, `<--`, `---`) or the star of an action, as the theme says; behind a star, what is no known
sentence is an action. The sentence must be whole: `bob has quit smoking` is none.
"""

from __future__ import annotations

import re
from typing import Final

from .clock import Clock
from .line import OTHER, Event, Kind
from .sentences import CHANNEL, HOST, NICK, heard, hint, sentences, split_rank

NAME: Final = "hexchat"

_SENTENCES: Final = sentences(
    (rf"(?:You are n|N)ow talking (?:on|in) {CHANNEL}", Kind.ENTERED),
    (rf"{NICK} {HOST} has joined(?: {CHANNEL})?", Kind.JOINED),
    (rf"{NICK} {HOST} has left(?: {CHANNEL})?(?: \(.*\))?", Kind.LEFT),
    (rf"{NICK} has quit \(.*\)", Kind.LEFT),
    (rf"\S+ has kicked {NICK} from {CHANNEL} \(.*\)", Kind.LEFT),
    (rf"Topic for {CHANNEL} is:? (?P<text>.*)", Kind.TOPIC),
    (rf"{NICK} has changed the topic to: (?P<text>.*)", Kind.TOPIC),
    (r"You are now known as (?P<text>\S+)", Kind.NICK),
    (rf"{NICK} is now known as (?P<text>\S+)", Kind.NICK),
    (rf"{NICK} sets modes? .*", Kind.MODE),
    (r"\S+ (?:sets|gives|removes) (?:ban|exempt|invite|channel|voice|user limit).*", Kind.MODE),
    # What the client itself says behind the same star as an action.
    (r"Topic for \S+ set by .*|Channel \S+ (?:modes|url|created).*|#\S+ .*", Kind.OTHER),
    (r"Disconnected \(.*\)\.?|Connected\..*|(?:Connecting|Looking up) .*\.\.", Kind.OTHER),
    (r"You (?:have|are|'re) .*|You've .*|\[\S+\] .*|Ping reply from .*|Received a .*", Kind.OTHER),
    (r"Connection failed.*|Stopped previous .*|Capabilities .*|Found your IP: .*", Kind.OTHER),
    (r"(?:DCC|Cannot|Nickname|No such|Notify|Loaded|\S+ in use\.) .*", Kind.OTHER),
)
_SAID: Final = re.compile(r"<([^\t>]+)>\t")
_EVENT: Final = re.compile(r"(\*|\*\*\*?|---|-->|<--|-\*-)\t")
_NOTICE: Final = re.compile(r"(?:-([^\s/]+)(?:/\S+)?-|\*([^\s*]+)\*|>([^\s<>]+)<)\t")


def read(body: str, sep: str, clock: Clock) -> Event | None:
    """What a line says, its time taken off; None if this is no line of HexChat's."""
    if match := _SAID.match(body):
        return Event(Kind.SAID, split_rank(match[1]), body[match.end() :])
    if match := _EVENT.match(body):
        text = body[match.end() :]
        event = heard(text.rstrip(), _SENTENCES)
        if event is None and match[1] in ("*", "-*-"):
            nick, _, text = text.partition(" ")
            return Event(Kind.ACTED, split_rank(nick), text) if nick else OTHER
        return hint(event)
    if match := _NOTICE.match(body):
        return Event(Kind.NOTICE, match[1] or match[2] or match[3], body[match.end() :])
    if not sep and body.startswith("**** "):
        clock.set_date(body)
        return OTHER
    return None
