"""Phone numbers, with their country's code or as people in a country write them.

Numbers with a plus, or with 00 for it, are told by their form. All others are told by phonenumbers,
Google's library of the numbers that each country gives out, and by how they are written: many a
number of an order would be somebody's phone. Such a number is one if

- it begins with the 0 by which people in the country dial others (`030 2312504`),
- or its digits stand in the country's groups (`(415) 555-2671`),
- or the text speaks of a phone (`call 4155552671`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BR", "RU")
"""The countries whose numbers are looked for, unless others are named."""

MOST_RUNS: Final = 100
"""Runs of digits that are looked at; a line of IRC has room for half of them."""

_PLUS: Final = re.compile(r"(?<![\w+])\+\(?\d(?:\)?(?: - |[ .-])?\(?\d){7,14}(?!\d)")
_LINK: Final = re.compile(r"(?:\bwa\.me/|\btel:)\+?\d{7}")
_DOUBLE_ZERO: Final = re.compile(r"(?<![\w.,+-])00[1-9](?:[ ./-]?\(?\d\)?){8,12}(?![\w-])")
_RUN: Final = re.compile(
    r"(?<![\w#$€£¥@=+<>*^:/,.-])(?<!\d[ ,.])"
    r"[(]?\d(?:(?:[ ./-]|\)[ -]?|\ [-–/]\ ?|[-–/]\ )?\(?\d){6,18}"
    r"(?![\w%€$£:@°=*^/<>]|[.,-]\d)"
)
"""Seven to nineteen digits and what may stand between those of a phone number."""
_DATE: Final = re.compile(
    r"(?:19|20)\d\d([-./ ]?)[01]?\d\1[0-3]?\d(?![\d.-])"
    r"|[0-3]?\d([-./])[0-3]?\d\2(?:19|20)?\d\d(?![\d./-])|[0-3]?\d [0-3]?\d (?:19|20)\d\d(?! ?\d)"
)
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
_COUNTED: Final = re.compile(
    r"\b(?:upc|ean|gtin|isbn|issn|sku|order|ticket|case|invoice|serial|bug|issue|id|bestellung"
    r"|rechnung|commande|pedido|part|model|zip|plz|tracking|parcel|imei|version|build)\b"
    r"[ .:#-]{0,3}(?:no|nr|num|number|nummer|numéro)?[ .:#-]{0,3}$"
)
"""What stands before the number of a thing."""
_BINARY: Final = frozenset("01 .-")
_SPOKEN: Final = re.compile(
    r"""
      phone|\btel\b|telef|teléf|телефон|\bтел\b|\bcall\b|\bring\b|\btext\b|\bsms\b|whats?app
    | \bsignal\b|\bviber\b|\bzap\b|\bmobil|\bm[oó]vil|\bcell\b|celular|cellulare|handy|\bfax
    | \bportable\b|num[eéè]ro|número|rufnummer|\bruf\b|\brufen|\banruf|appel|llám|llam[ae]|chiam
    | \bliga\b|zadzwo|\bdzwo|komór|\bbel\b|звон|номер
    | \b(?:my|her|his|your|work|home)\s+(?:number|nr|no)\b|meine?\s+nummer
    """,
    re.VERBOSE,
)


def has_phone(text: str, regions: Sequence[str]) -> bool:
    """Whether a text has a phone number; `regions` are codes of countries, such as DE."""
    if "+" in text and _PLUS.search(text):
        return True
    if _DOUBLE_ZERO.search(text) or _LINK.search(text):
        return True
    runs = list(islice(_runs(text), MOST_RUNS))
    if not runs:
        return False
    spoken = _SPOKEN.search(text.lower()) is not None
    if not spoken:
        runs = [run for run in runs if run[0] == "0" or not run.isdigit()]
    return any(_is_phone(run, region, spoken=spoken) for run in runs for region in regions)


def known_regions() -> frozenset[str]:
    """The codes of all countries whose numbers are known."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def _runs(text: str) -> Iterator[str]:
    """What may be phone numbers: runs of digits, and their parts between spaces."""
    for found in _RUN.finditer(text):
        run = found[0]
        before = text[max(0, found.start() - 24) : found.start()].lower()
        if _DATE.match(run) or set(run) <= _BINARY or _COUNTED.search(before):
            continue
        yield run
        if " " in run:
            yield from (part for part in run.split() if sum(map(str.isdigit, part)) > 8)


@lru_cache(maxsize=4096)
def _is_phone(run: str, region: str, *, spoken: bool) -> bool:
    """Whether a run of digits is a number of a region, and written as one there."""
    import phonenumbers

    try:
        number = phonenumbers.parse(run, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(number):
        return False
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    groups, usual = re.findall(r"\d+", run), re.findall(r"\d+", national)
    if usual[0][0] == "0":  # by its groups or not, it is dialled with a 0
        dialled = groups[0][0] == "0" and (groups[0] != "0" or "(0)" in run)
        return dialled and sum(map(len, groups)) > 8 and len(groups) < 7
    if spoken:
        return len(groups) < 7
    if groups[0] in ("1", "8") and usual[0] != groups[0]:
        groups = groups[1:]
    if len(groups) == 1 or sum(map(len, groups)) < 9 or _THOUSANDS.fullmatch(run):
        return False
    return groups == usual
