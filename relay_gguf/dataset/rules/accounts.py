"""Numbers by which money moves: payment cards and bank accounts, told by their check digits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_CARD: Final = re.compile(
    r"(?<![\d.-])(?=[3-6]|2[2-7])(?:\d{13,19}|\d{4}([ -])\d{4,6}\1\d{4,5}(?:\1?\d{1,7})?)(?![\d-])"
)
"""Digits in one piece, or in groups as they are printed: 4-4-4-4, 4-6-5."""
_MENTIONS: Final = re.compile(r"<(?:a?:\w{1,64}:|[@#][!&]?|t:)\d{1,20}")
"""Discord's way to write people, channels and emoji, whose numbers pass Luhn's check by chance."""
_SNOWFLAKE: Final = re.compile(r"\d{17,19}")
"""Discord's and Twitter's numbers; payment cards have 13 to 16 digits but for a few of 19."""
_IBAN: Final = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d\d(?:[ .-]?[A-Za-z0-9]){11,30}")
_CALLED: Final = re.compile(
    r"\bsort\ ?code\b\D{0,4}\d\d[ -]?\d\d[ -]?\d\d\b|\bblz\b\D{0,4}\d{3} ?\d{3} ?\d\d\b"
    r"|\brouting(?:\ (?:no|number))?\b\D{0,4}\d{9}\b",
    re.IGNORECASE,
)
"""Codes of banks that only their name tells."""
_LENGTHS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 "
    "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 "
    "MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 "
    "ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTHS: Final = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}


def has_card(text: str) -> bool:
    """Whether a text has the number of a payment card."""
    if "<" in text:
        text = _MENTIONS.sub("<", text)
    return any(_is_card(found[0]) for found in _CARD.finditer(text))


def has_account(text: str) -> bool:
    """Whether a text has the number of a bank account (IBAN), or names its bank."""
    return _CALLED.search(text) is not None or any(map(_is_iban, _candidates(text)))


def _is_card(text: str) -> bool:
    """Whether a number passes Luhn's check, as those on payment cards do."""
    if _SNOWFLAKE.fullmatch(text):
        return False
    each = [int(char) for char in text if char.isdigit()]
    if len(set(each)) == 1:
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in each[-2::-2])
    return (sum(each[-1::-2]) + doubled) % 10 == 0


def _candidates(text: str) -> Iterator[str]:
    """What may be IBANs: as many letters and digits as those of the country have."""
    for found in _IBAN.finditer(text):
        packed = re.sub(r"[ .-]", "", found[0]).upper()
        length = _IBAN_LENGTHS.get(packed[:2])
        if length is not None and len(packed) >= length:
            yield packed[:length]


def _is_iban(packed: str) -> bool:
    """Whether the check digits are right (ISO 13616: the number modulo 97 is 1)."""
    turned = packed[4:] + packed[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1
