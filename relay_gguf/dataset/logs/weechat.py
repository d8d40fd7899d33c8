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
from .log_line import OTHER, LineKind, LogEvent
from .sentences import CHANNEL, EXPORTED, NICK, heard, hint, sentences, split_rank

NAME: Final = "weechat"

_ABOUT: Final = r"(?: [\[(].*[\])])?"
_SENTENCES: Final = (
    *sentences(
        (rf"{NICK}{_ABOUT} has joined {CHANNEL}", LineKind.JOINED),
        (rf"{NICK}{_ABOUT} has left {CHANNEL}.*", LineKind.LEFT),
        (rf"{NICK}{_ABOUT} has quit.*", LineKind.LEFT),
        (rf"\S+ has kicked {NICK}(?: .*)?", LineKind.LEFT),
        (r"You are now known as (?P<text>\S+)", LineKind.NICK),
        (rf"{NICK} is now known as (?P<text>\S+)", LineKind.NICK),
        (
            rf'{NICK} has changed topic for {CHANNEL}(?: from ".*")? to "(?P<text>.*)"',
            LineKind.TOPIC,
        ),
        (rf"{NICK} has unset topic for {CHANNEL}.*", LineKind.TOPIC),
        (rf'Topic for {CHANNEL} is "(?P<text>.*)"', LineKind.TOPIC),
        (rf"(?:Nicks {CHANNEL}:|Channel #\S+: \d+ nicks?) .*", LineKind.NAMES),
        (rf"Mode {CHANNEL} .*", LineKind.MODE),
        (rf"(?:Pv)?Notice\({NICK}\)(?: -> \S+)?: (?P<text>.*)", LineKind.NOTICE),
    ),
    *EXPORTED,
)
_EVENTS: Final = frozenset({"-->", "<--", "--", "=!=", "", "⚡"})
_ACTIONS: Final = frozenset({" *", "*"})


def read(body: str, sep: str, clock: Clock) -> LogEvent | None:
    """The event of a line without its time; None if this is not a line of WeeChat's."""
    prefix, tab, text = body.partition("\t")
    if sep != "\t" or not tab:
        return None
    if prefix in _EVENTS:
        return hint(heard(text.rstrip(), _SENTENCES)) if text else OTHER
    if prefix in _ACTIONS:
        nick, _, text = text.partition(" ")
        return LogEvent(LineKind.ACTED, split_rank(nick), text)
    nick = split_rank(prefix.strip("<>"))
    if not nick or " " in nick:
        return None
    return LogEvent(LineKind.SAID, nick, text)
