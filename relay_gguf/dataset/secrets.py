"""Secrets that no model may learn: passwords, keys, card and phone numbers, addresses.

A message with a secret is left out whole, and counted under one of `KINDS`. The rules would rather
drop a harmless line than keep a secret; there is no option that turns them off.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from typing import Final

from .logs.log_line import fold

KINDS: Final = ("services", "passwords", "keys", "cards", "addresses", "emails", "phones")
SERVICES: Final = re.compile(
    "(?:nick|chan|memo|oper|host|bot|auth|user|sasl|help|group|info)serv|nickop|cservice|global"
)
KEY_LINES: Final = 120
"""Lines after the beginning of a private key that are left out if its end never comes."""

_VERBS: Final = (
    r"identify|sidentify|register|ghost|recover|release|regain|auth|login|logon|oper|pass|"
    r"password|passwd|setpass|newpass|set\s+password|changepass"
)
_SERVICE: Final = r"(?:\w*serv|[qx])(?:@\S+)?|ns|cs|as|ms|os|hs|bs|\*status"
_COMMANDS: Final = re.compile(
    rf"""\s*(?:
      [/.!\\]+\s*(?:quote\s+|raw\s+)?(?:{_VERBS})\b\s*\S         # /identify ..., !login ...
    | [/.\\]+\s*(?:{_SERVICE})\s+\S                              # /ns ..., /nickserv ...
    | [/.!\\]*\s*(?:msg|privmsg|query|squery|m|quote|raw|notice|say)\s+
        (?:{_SERVICE}|{_VERBS}|privmsg\s+(?:{_SERVICE}))\b       # msg nickserv ...
    | (?:{_SERVICE})\s+(?:{_VERBS})\b                            # nickserv identify ...
    | (?:{_VERBS})\s+\S+(?:\s+\S+)?\s*$                          # identify hunter2
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_FIRST: Final = frozenset("/.!\\ \taclnqmxhpogrstuwibe*")
"""First characters of such a line, in lower case: a quick test before the pattern."""

_MARKS: Final = frozenset("0123456789@=!")
_WORDS: Final = re.compile(
    r"pass|pwd|token|key|secret|pin\b|pw\b|-----|bearer|[\w+/-]{20}|:[0-9a-f]*:"
)
"""Every secret has one of these words or of `_MARKS`, and most lines do not."""

_PASSWORDS: Final = re.compile(
    r"""
      \b(?:pass(?:word|wd|phrase|code)?|pwd|pw|pin)\b['"]?\s*(?:is|was|=|:|=>|->)\s*\S{3}
    | \b(?:pass(?:word|wd|phrase)|pwd)\b['"]?\s*[:=]
    | (?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+\s*[:;|/]\s*\S{4}
    | ^\s*[\w.+-]+@[\w-]+\.[\w.-]+\s+\S{4,}\s*$
    | ://[^\s/:@]*:[^\s/@]+@
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ASSIGNED: Final = re.compile(r"""(?<!\w)\w++(?=['"]?\s*+[=:]\s*+['"]?\S{6})""")
"""A word with a value behind it. Each word is read once: a name of 60,000 letters takes no longer
than as many letters in words."""
_NAMED: Final = re.compile(
    r"api[_ -]?key|secret|token|private[_ -]?key|access[_ -]?key|password|passwd", re.IGNORECASE
)
_LONGEST_NAME: Final = len("private-key")
_KEYS: Final = re.compile(
    r"""
      \b(?:sk|pk|rk)[-_](?:(?:live|test|proj|ant)[-_])?[A-Za-z0-9_-]{16}
    | \bgh[pousr]_[A-Za-z0-9]{20} | \bgithub_pat_\w{20} | \bglpat-[\w-]{16}
    | \bxox[abeoprs]-[\w-]{10} | \bA(?:KI|SI)A[A-Z0-9]{16}\b | \bAIza[\w-]{30}
    | \bhf_[A-Za-z0-9]{20} | \bnpm_[A-Za-z0-9]{20} | \bpypi-[\w-]{20} | \bya29\.[\w-]{20}
    | \bSG\.[\w-]{16}\.[\w-]{16} | \beyJ[\w-]{8,999}\.[\w-]{8}
    | \b\d{8,10}:[\w-]{35} | \b[\w-]{23,28}\.[\w-]{6}\.[\w-]{25}
    | \b[Bb]earer\s+[\w.~+/-]{16} | -----BEGIN\ [A-Z ]*(?:PRIVATE\ KEY|PGP\ MESSAGE)
    | (?<!\w)(?=[a-fA-Fx]*\d)(?:0x)?[0-9A-Fa-f]{32,}(?!\w) | (?:[0-9A-Fa-f]{2}:){15}[0-9A-Fa-f]{2}
    """,
    re.VERBOSE,
)
_LONG: Final = re.compile(r"(?<![\w/.%-])[\w+/-]{32,}={0,2}")
_CARD: Final = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IPV4: Final = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)")
_IPV6: Final = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_EMAIL: Final = re.compile(r"(?<![\w.%+-])[\w.%+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}(?!\w)")
_PHONE: Final = re.compile(r"(?<![\w+])\+\(?\d(?:\)?(?: - |[ .-])?\(?\d){7,14}(?!\d)")
_MASK: Final = re.compile(
    r"(?:^|[\s(\[<])[^\s!@]{1,99}![^\s!@]{1,99}@\S|^[\[(][^\s@]+@[^\s\])]+[\])]"
)
"""`nick!user@host`, and `(user@host)` behind a nick: a join in words that no log format knows."""
_KEY_END: Final = "-----END "


def is_service(nick: str) -> bool:
    """Whether a nick is that of a service, which people tell passwords: NickServ, Q, *status."""
    return nick in {"Q", "X"} or nick.startswith("*") or SERVICES.fullmatch(fold(nick)) is not None


class Secrets:
    """Finds and counts secrets in the messages of a log, in their order."""

    def __init__(self, target: str) -> None:
        """`target` is the channel or person of the log."""
        self.found: Counter[str] = Counter()
        self._all = is_service(target)
        self._keys: dict[str, int] = {}  # who shows a private key, and how many lines that may take

    def has(self, nick: str, text: str) -> bool:
        """Whether a message must be left out."""
        kind = self._in_key(nick, text) if self._keys else None
        kind = kind or ("services" if self._all or is_service(nick) else secret(text))
        if kind is None:
            return False
        if kind == "keys" and "-----BEGIN " in text and _KEY_END not in text:
            self._keys[nick] = KEY_LINES
        self.found[kind] += 1
        return True

    def has_service(self, nick: str) -> None:
        """Count a message to or from a service outside of the channel."""
        if is_service(nick):
            self.found["services"] += 1

    def _in_key(self, nick: str, text: str) -> str | None:
        left = self._keys.get(nick)
        if left is None:
            return None
        if left == 1 or _KEY_END in text:
            del self._keys[nick]
        else:
            self._keys[nick] = left - 1
        return "keys"


def secret(text: str) -> str | None:
    """The kind of the secret in a text, of `KINDS`; None if it has none."""
    text = text.strip()
    if text[:1].lower() in _FIRST and _COMMANDS.match(text):
        return "passwords"
    if _MARKS.isdisjoint(text) and not _WORDS.search(text.lower()):
        return None
    if _PASSWORDS.search(text) or _is_assigned(text):
        return "passwords"
    if _KEYS.search(text) or any(_is_random(found[0]) for found in _LONG.finditer(text)):
        return "keys"
    if any(_is_card(found[0]) for found in _CARD.finditer(text)):
        return "cards"
    addresses = (found[0] for each in (_IPV4, _IPV6) for found in each.finditer(text))
    if _MASK.search(text) or any(map(_is_public, addresses)):
        return "addresses"
    if "@" in text and _EMAIL.search(text):
        return "emails"
    if "+" in text and _PHONE.search(text):
        return "phones"
    return None


def _is_assigned(text: str) -> bool:
    """Whether a value is given to a name such as `my_api_key`, which may be several words."""
    for word in _ASSIGNED.finditer(text):
        start = max(0, word.start() - _LONGEST_NAME)
        named = _NAMED.finditer(text, start, word.end())
        if any(name.end() > word.start() for name in named):
            return True
    return False


def _is_card(text: str) -> bool:
    """Whether a number passes Luhn's check, as those on payment cards do."""
    digits = [int(char) for char in text if char.isdigit()]
    if len(set(digits)) == 1:
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + doubled) % 10 == 0


def _is_random(text: str) -> bool:
    """Whether a long word looks like base64 of a key: all sorts of letters, few of them twice."""
    sorts = (str.isupper, str.islower, str.isdigit)
    if not all(any(map(sort, text)) for sort in sorts):
        return False
    counts = Counter(text).values()
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
    return entropy > 4


def _is_public(text: str) -> bool:
    """Whether this is an address on the internet: not of a home network, and not a version."""
    if ":" in text and (len(text) < 8 or not any(map(str.isdigit, text))):
        return False  # a::b of a program
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
