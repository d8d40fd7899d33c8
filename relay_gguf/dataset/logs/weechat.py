"""WeeChat's logs: date and time, prefix and text, with a tab between each.

    2023-11-15 12:00:00→-->→ann (~ann@host) has joined #boats
    2023-11-15 12:00:01→@bob→hello
    2023-11-15 12:00:02→ *→bob waves

(→ is the tab.) The prefixes are the defaults of `weechat.look.prefix_*`, the sentences those of its
irc plugin, up to 4.x: hosts, accounts and real names may stand in brackets behind a nick.
"""

from __future__ import annotations

from typing import Final

from .clock import Clock
from .line import OTHER, Event, Kind
from .sentences import CHANNEL, EXPORTED, NICK, heard, hint, sentences, split_rank

NAME: Final = "weechat"

_ABOUT: Final = r"(?: [\[(].*[\])])?"
_SENTENCES: Final = (
    *sentences(
        (rf"{NICK}{_ABOUT} has joined {CHANNEL}", Kind.JOINED),
        (rf"{NICK}{_ABOUT} has left {CHANNEL}.*", Kind.LEFT),
        (rf"{NICK}{_ABOUT} has quit.*", Kind.LEFT),
        (rf"\S+ has kicked {NICK}(?: .*)?", Kind.LEFT),
        (r"You are now known as (?P<text>\S+)", Kind.NICK),
        (rf"{NICK} is now known as (?P<text>\S+)", Kind.NICK),
        (
            rf'{NICK} has changed topic for {CHANNEL}(?: from ".*")? to "(?P<text>.*)"',
            Kind.TOPIC,
        ),
        (rf"{NICK} has unset topic for {CHANNEL}.*", Kind.TOPIC),
        (rf'Topic for {CHANNEL} is "(?P<text>.*)"', Kind.TOPIC),
        (rf"(?:Nicks {CHANNEL}:|Channel #\S+: \d+ nicks?) .*", Kind.NAMES),
        (rf"Mode {CHANNEL} .*", Kind.MODE),
        (rf"(?:Pv)?Notice\({NICK}\)(?: -> \S+)?: (?P<text>.*)", Kind.NOTICE),
    ),
    *EXPORTED,
)
_EVENTS: Final = frozenset({"-->", "<--", "--", "=!=", "", "⚡"})
_ACTIONS: Final = frozenset({" *", "*"})


def read(body: str, sep: str, clock: Clock) -> Event | None:
    """What a line says, its time taken off; None if this is no line of WeeChat's."""
    prefix, tab, text = body.partition("\t")
    if sep != "\t" or not tab:
        return None
    if prefix in _EVENTS:
        return hint(heard(text.rstrip(), _SENTENCES)) if text else OTHER
    if prefix in _ACTIONS:
        nick, _, text = text.partition(" ")
        return Event(Kind.ACTED, split_rank(nick), text)
    nick = split_rank(prefix.strip("<>"))
    if not nick or " " in nick:
        return None
    return Event(Kind.SAID, nick, text)
