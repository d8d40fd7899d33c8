"""The countries whose phone numbers are known as people there write them, without a plus."""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Iterable, Mapping

from relay_gguf.errors import SettingsError

from .rules.phones import REGIONS, known_regions


def parse_regions(given: Iterable[str]) -> tuple[str, ...]:
    """Codes such as `DE,fr`, once each, in capitals and in their order.

    Raises:
        SettingsError: a code is not that of a country.
    """
    codes = dict.fromkeys(code.upper() for each in given for code in re.findall(r"[^\s,]+", each))
    for code in codes:
        if code not in known_regions():
            raise SettingsError(
                f"--region {code} is not a country's code. Two letters are, such as DE or US."
            )
    if not codes:
        raise SettingsError("--region needs a country's code, such as DE or US.")
    return tuple(codes)


def usual_regions(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The country of the locale, then `REGIONS`."""
    home = _home(environment)
    known = home in known_regions()
    return tuple(dict.fromkeys([home, *REGIONS] if known else REGIONS))


def _home(environment: Mapping[str, str]) -> str:
    """The country in the locale's name, as in de_AT.UTF-8; empty if it has none."""
    named = [environment.get(name) for name in ("LC_ALL", "LC_TELEPHONE", "LANG")]
    names = [name for name in named if name] or [locale.getlocale()[0] or ""]
    match = re.match(r"[a-z]{2,3}_([A-Z]{2})\b", names[0])
    return match[1] if match else ""
