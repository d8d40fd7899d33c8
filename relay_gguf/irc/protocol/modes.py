"""Mode letters: what users and channels can be set to, and how MODE spells it.

Channel modes are RFC 2811 section 4, in the four types that ISUPPORT tells clients (modern.ircdocs,
CHANMODES); the user mode B is the one that BOT announces (IRCv3 bot-mode).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

BOT: Final = "B"
INVISIBLE: Final = "i"
SERVER_OPERATOR: Final = "o"
WALLOPS: Final = "w"
USER_MODES: Final = BOT + INVISIBLE + SERVER_OPERATOR + WALLOPS

OPERATOR: Final = "o"
PREFIXES: Final = {OPERATOR: "@", "v": "+"}
"""Mode of a member → the sign before the nick, the highest first."""
BAN: Final = "b"
KEY: Final = "k"
LIMIT: Final = "l"
INVITE_ONLY: Final = "i"
MODERATED: Final = "m"
NO_OUTSIDE: Final = "n"
SECRET: Final = "s"
TOPIC_LOCK: Final = "t"

FLAGS: Final = INVITE_ONLY + MODERATED + NO_OUTSIDE + SECRET + TOPIC_LOCK
"""Channel modes without a value."""
ALWAYS_VALUED: Final = BAN + KEY + "".join(PREFIXES)
"""Channel modes that take a value with + and with -."""
VALUED: Final = ALWAYS_VALUED + LIMIT
"""Channel modes that take a value; the limit does with + alone."""


class ModeChange(NamedTuple):
    """A mode set (`+`) or removed (`-`); `value` is '' if the mode has none."""

    sign: str
    letter: str
    value: str = ""


def channel_modes() -> tuple[str, str]:
    """All channel modes and those with a value, sorted: the last two parameters of numeric 004."""
    return "".join(sorted(FLAGS + VALUED)), "".join(sorted(VALUED))


def isupport_modes() -> tuple[str, str]:
    """The values of CHANMODES (lists, always valued, valued when set, flags) and of PREFIX."""
    letters, signs = "".join(PREFIXES), "".join(PREFIXES.values())
    return ",".join((BAN, KEY, LIMIT, FLAGS)), f"({letters}){signs}"


def signed_letters(text: str) -> Iterator[tuple[str, str]]:
    """Each letter of `+ab-c` with the last sign before it; + where there is none."""
    sign = "+"
    for letter in text:
        if letter in "+-":
            sign = letter
        else:
            yield sign, letter


def spell_changes(changes: Iterable[ModeChange]) -> list[str]:
    """Changes as parameters of MODE: letters with a sign where it changes, then the values."""
    letters, last, values = "", "", []
    for sign, letter, value in changes:
        letters += letter if sign == last else sign + letter
        last = sign
        if value:
            values.append(value)
    return [letters, *values]
