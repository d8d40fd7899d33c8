"""The time of a line, as far as a log tells it.

irssi writes the time of day and a line for each new day, HexChat a date without a year, ZNC has the
date in the file's name, and every client can be configured otherwise. So the clock knows a day,
takes any date that it is shown, and notices midnight by itself: a time of day that falls by more
than two hours belongs to the next day. A smaller fall is the end of summer time, or a late message.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

DAY: Final = 86_400
BACKWARDS: Final = 2 * 3600
"""Seconds that the time of day may fall without a new day."""

_MONTH: Final = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTHS: Final = {name: number for number, name in enumerate(_MONTH.split("|"), start=1)}

STAMP: Final = re.compile(
    rf"""[\[(]?
    (?:(?:(?P<y>\d{{4}})[-/.](?P<m>\d\d)[-/.](?P<d>\d\d)      # 2024-01-31
       |(?P<d2>\d\d)[./](?P<m2>\d\d)[./](?P<y2>\d{{4}})       # 31.01.2024
       |(?P<mon>{_MONTH})[ ]{{1,2}}(?P<d3>\d{{1,2}})          # Jan 31
      )[ ,T]{{1,2}})?
    (?P<H>[012]?\d):(?P<M>[0-5]\d)(?::(?P<S>[0-6]\d)(?:[.,]\d+)?)?
    (?:Z|[ ]?[+-]\d\d:?\d\d(?=[\] ]))?
    (?:[ ](?P<half>[ap]m))?
    [\])]?(?P<sep>[ \t]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
"""A line's time: `12:34`, `[12:34:56]`, `2024-01-31 12:34:56`, `Jan 31 12:34:56`, ..."""

_WHOLE: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)([ \t])", re.ASCII
)
"""WeeChat's stamp, with the date on each line: it has a pattern of its own for speed."""

_LONG_DATE: Final = re.compile(
    rf"({_MONTH})\w*\.? +(\d{{1,2}})(?: +\d\d:\d\d(?::\d\d)?)?(?: +\S+)?? +(\d{{4}})\b",
    re.IGNORECASE,
)
_ISO_DATE: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")


class Stamp(NamedTuple):
    """The time of a line in seconds, or None; the separator behind it; and the rest of the line."""

    time: float | None
    sep: str
    body: str


class Clock:
    """The clock of one log, from its first line to its last."""

    def __init__(self, name: str = "") -> None:
        """Begin a log; the `name` of its file may have a date in it."""
        self._day = 1
        self._year = 2000
        self._last: float | None = None
        self._same = ""  # the stamp of the line before, which many lines share
        self._same_stamp = Stamp(None, "", "")
        self.set_date(name)

    def set_date(self, text: str) -> bool:
        """Take the day from a text such as `Wed Nov 15 12:00:00 2023`; False if it has no date."""
        if match := _LONG_DATE.search(text):
            found = _ordinal(int(match[3]), _MONTHS[match[1].lower()[:3]], int(match[2]))
        elif match := _ISO_DATE.search(text):
            found = _ordinal(int(match[1]), int(match[2]), int(match[3]))
        else:
            return False
        if found is None:
            return False
        self._day = found
        self._year = date.fromordinal(found).year
        self._last, self._same = None, ""
        return True

    def next_day(self) -> None:
        """Begin a new day, whose date the log does not tell."""
        self._day += 1
        self._last, self._same = None, ""

    def read(self, text: str) -> Stamp:
        """Split a line into its time and its rest."""
        if self._same and text.startswith(self._same):
            return self._same_stamp._replace(body=text[len(self._same) :])
        if match := _WHOLE.match(text):
            year, month, day, hour, minute, second, sep = match.groups()
            found = _ordinal(int(year), int(month), int(day))
            if found is not None:
                self._day = found
                clock = 3600 * int(hour) + 60 * int(minute) + int(second)
                self._last = float(found * DAY + clock)
                return Stamp(self._last, sep, text[20:])
        match = STAMP.match(text)
        time = None if match is None else self._time(match)
        if match is None or time is None:
            return Stamp(None, "", text)
        self._last = time
        stamp = Stamp(time, match["sep"], text[match.end() :])
        # Without a separator the stamp is the whole line, and may be the begin of another stamp.
        self._same, self._same_stamp = (match[0] if match["sep"] else ""), stamp
        return stamp

    def _time(self, match: re.Match[str]) -> float | None:
        hour = int(match["H"])
        if match["half"]:
            hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
        if hour > 23:
            return None
        clock = 3600 * hour + 60 * int(match["M"]) + int(match["S"] or 0)
        if match["y"] or match["y2"]:
            year, month, day = (int(match[name] or match[f"{name}2"]) for name in "ymd")
            found = _ordinal(year, month, day)
            if found is None:
                return None
            self._day = found
        elif match["mon"]:
            self._day = self._this_year(_MONTHS[match["mon"].lower()], int(match["d3"]))
        elif self._last is not None and self._day * DAY + clock < self._last - BACKWARDS:
            self._day += 1
        return float(self._day * DAY + clock)

    def _this_year(self, month: int, day: int) -> int:
        """The day of a date without a year, which begins anew when dates fall by half a year."""
        found = _ordinal(self._year, month, day)
        if found is None:  # 29 February, and the year is a guess
            return self._day
        if self._last is not None and found * DAY < self._last - 180 * DAY:
            found = _ordinal(self._year + 1, month, day) or found
            self._year += 1
        return found


@lru_cache(4096)
def _ordinal(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return None
