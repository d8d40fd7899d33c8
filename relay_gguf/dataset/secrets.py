"""Secrets that no model may learn: passwords, keys, card and phone numbers, addresses.

A message with a secret is left out whole, and counted under one of `KINDS`. The rules would rather
drop a harmless line than keep a secret; there is no option that turns them off.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from .logs.log_line import fold
from .rules.accounts import has_account, has_card
from .rules.addresses import has_address, has_email, has_spelt_email
from .rules.credentials import has_key
from .rules.identities import has_identity
from .rules.passwords import has_password, is_command
from .rules.phones import REGIONS, has_phone
from .rules.prose import asks_password, may_be_answer, tells_password

KINDS: Final = (
    "services",
    "passwords",
    "keys",
    "cards",
    "accounts",
    "identities",
    "addresses",
    "emails",
    "phones",
)
SERVICES: Final = re.compile(
    "(?:nick|chan|memo|oper|host|bot|auth|user|sasl|help|group|info)serv|nickop|cservice|global"
)
KEY_LINES: Final = 120
"""Lines after the beginning of a private key that are left out if its end never comes."""
ANSWER_LINES: Final = 4
"""Lines after a question for a password that may be the answer."""

_DIGITS: Final = {"accounts": 6, "cards": 13, "identities": 4, "phones": 7}
"""Digits of the shortest number of a kind: most lines have fewer, and cost no pattern."""
_KEY_END: Final = "-----END "


def is_service(nick: str) -> bool:
    """Whether a nick is that of a service, which people tell passwords: NickServ, Q, *status."""
    return nick in {"Q", "X"} or nick.startswith("*") or SERVICES.fullmatch(fold(nick)) is not None


class Secrets:
    """Finds and counts secrets in the messages of a log, in their order."""

    def __init__(self, target: str, regions: Sequence[str] = REGIONS) -> None:
        """`target` is the channel or person of the log, `regions` those of phone numbers."""
        self.found: Counter[str] = Counter()
        self._all = is_service(target)
        self._regions = tuple(regions)
        self._asked = 0  # lines that may still answer who asked for a password
        self._keys: dict[str, int] = {}  # who shows a private key, and how many lines that may take

    def has(self, nick: str, text: str) -> bool:
        """Whether a message must be left out."""
        kind = self._in_key(nick, text) if self._keys else None
        if kind is None:
            is_told = self._all or is_service(nick)
            kind = "services" if is_told else secret(text, self._regions)
        if kind is None and self._asked and may_be_answer(text):
            kind = "passwords"
        self._asked = ANSWER_LINES if asks_password(text) else max(0, self._asked - 1)
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


def secret(text: str, regions: Sequence[str] = REGIONS) -> str | None:
    """The kind of the secret in a text, of `KINDS`; None if it has none.

    Args:
        text: a message.
        regions: codes of the countries whose phone numbers are known without a plus.
    """
    text = text.strip()
    if is_command(text) or tells_password(text) or has_password(text):
        return "passwords"
    if has_key(text):
        return "keys"
    digits = sum(map(text.count, "0123456789"))
    if digits >= _DIGITS["accounts"] and has_account(text):
        return "accounts"
    if digits >= _DIGITS["cards"] and has_card(text):
        return "cards"
    if digits >= _DIGITS["identities"] and has_identity(text):
        return "identities"
    if has_address(text):
        return "addresses"
    if has_email(text) or has_spelt_email(text):
        return "emails"
    if digits >= _DIGITS["phones"] and has_phone(text, regions):
        return "phones"
    return None
