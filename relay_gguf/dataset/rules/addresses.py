"""Addresses of machines on the internet, and of mail."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_IPV4: Final = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)")
_IPV6: Final = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_MASK: Final = re.compile(
    r"(?:^|[\s(\[<])[^\s!@]{1,99}![^\s!@]{1,99}@\S|^[\[(][^\s@]+@[^\s\])]+[\])]"
)
"""`nick!user@host`, and `(user@host)` behind a nick: a join in words that no log format knows."""
_EMAIL: Final = re.compile(r"(?<![\w.%+-])(?!git@)[\w.%+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}(?!\w)")
_SPELT: Final = re.compile(
    r"""
      [\w.+-]\s?[\[({<]\s?(?:at|ät|arroba|chiocciola)\s?[\])}>]\s?[\w-]{2,63}
        (?:\.|\s?[\[({<]\s?(?:dot|punkt|point|punto|ponto)\s?[\])}>]\s?)[\w-]{2}
    | \w\s(?:dot|punkt)\s[\w-]{1,32}\s(?:at|ät)\s\w
    | [\w.+-]\s(?:at|ät)\s[\w-]{2,63}\s(?:dot|punkt)\s[a-z]{2,8}\b
    | [\w.+-]\s(?:at|ät)\s(?:gmail|googlemail|hotmail|outlook|gmx|web|yahoo|proton(?:mail)?)
        (?:\.|\s(?:dot|punkt)\s)[a-z]{2,3}\b
    """,
    re.VERBOSE,
)
_SPELT_AT: Final = ("at ", "at]", "at)", "at}", "at>", "ät", "arroba", "chiocciola")


def has_address(text: str) -> bool:
    """Whether a text has the address of a machine on the internet, or a mask of a person on IRC."""
    if "@" in text and _MASK.search(text):
        return True
    patterns = [
        pattern for sep, n, pattern in ((".", 3, _IPV4), (":", 2, _IPV6)) if text.count(sep) >= n
    ]
    return any(_is_public(found[0]) for each in patterns for found in each.finditer(text))


def has_email(text: str) -> bool:
    """Whether a text has an address of mail."""
    return "@" in text and _EMAIL.search(text) is not None


def has_spelt_email(text: str) -> bool:
    """Whether a text has an address of mail in words: `ann at example dot org`."""
    low = text.lower()
    return any(map(low.__contains__, _SPELT_AT)) and _SPELT.search(low) is not None


def _is_public(text: str) -> bool:
    """Whether this is an address on the internet: not of a home network, and not a version."""
    if ":" in text and (len(text) < 8 or not any(map(str.isdigit, text))):
        return False  # a::b of a program
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
