"""Nicks, user names, channels and masks: which are equal, valid, matched."""

from __future__ import annotations

import string
from typing import Final

from .line import cut

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_FORMATS: Final = "\x02\x03\x04\x0f\x11\x16\x1d\x1e\x1f"
"""Codes for bold, colour and the like, which a topic may have (modern.ircdocs, Formatting)."""


def fold(name: str) -> str:
    """The name in lower case, by which names are compared (CASEMAPPING=ascii)."""
    return name.translate(_LOWER)


def is_channel(name: str) -> bool:
    """Whether a target is a channel and not a nick (CHANTYPES=#)."""
    return name.startswith("#")


def valid_nick(nick: str, size: int) -> bool:
    """Whether a nick is allowed: letters of any script, up to `size` bytes.

    Not allowed are characters with a meaning in a mask, a prefix, a list or a channel's name
    (modern.ircdocs, Clients), and invisible ones.
    """
    return (
        0 < len(nick.encode()) <= size
        and nick.isprintable()
        and not set(nick) & set(" ,*?!@#&:$.%~+")
        and nick[0] not in "-0123456789"
    )


def valid_channel(name: str, size: int) -> bool:
    """Whether a channel name is allowed: `#`, then visible characters but space and comma,
    up to `size` bytes in all."""
    return (
        name.startswith("#")
        and 1 < len(name.encode()) <= size
        and name.isprintable()
        and not set(name) & set(" ,")
    )


def clean(text: str, size: int | None = None) -> str:
    """A text in one line of at most `size` bytes, without control characters.

    mIRC's formatting codes stay, as clients draw them. A tab becomes a space.
    """
    text = text.replace("\t", " ")
    text = "".join(c for c in text if c in _FORMATS or not _is_control(c))
    return text if size is None else cut(text, size)


def clean_user(user: str, size: int) -> str:
    """The user part of `nick!user@host`, from the text that a client sent in USER."""
    kept = (c for c in user if c.isprintable() and c not in " !@:*")
    return cut("".join(kept), size) or "user"


def matches(mask: str, text: str) -> bool:
    """Whether a mask matches a text: `*` is any text, `?` one character.

    Steps through both and back to the last `*` only, so that no mask takes exponential time.
    """
    mask, text = fold(mask), fold(text)
    m = t = 0
    star, tried = -1, 0
    while t < len(text):
        if m < len(mask) and mask[m] == "*":
            star, tried = m, t
            m += 1
        elif m < len(mask) and mask[m] in ("?", text[t]):
            m, t = m + 1, t + 1
        elif star >= 0:
            tried += 1
            m, t = star + 1, tried
        else:
            return False
    return not mask[m:].strip("*")


def full_mask(mask: str) -> str:
    """A ban mask with all its parts: `nick` becomes `nick!*@*`."""
    nick, bang, rest = mask.partition("!")
    if not bang and "@" in mask:
        nick, rest = "*", mask
    user, _, host = rest.partition("@")
    return f"{nick or '*'}!{user or '*'}@{host or '*'}"


def _is_control(char: str) -> bool:
    return ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029"
