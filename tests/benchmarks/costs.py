"""What a program costs, as a value, and lines of a table made of such values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from engine import MEBIBYTE, spread


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step takes: seconds of the clock and of all cores, and bytes."""

    wall: float
    cpu: float = 0.0
    resident: float = 0.0
    anonymous: float = 0.0
    scratch: float = 0.0
    files: float = 0.0

    def then(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return Cost(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.resident, other.resident),
            max(self.anonymous, other.anonymous),
            self.scratch + other.scratch,
            self.files + other.files,
        )


COLUMNS = {
    "wall, s": (1, ".1f"),
    "CPU, s": (1, ".1f"),
    "peak memory, MiB": (MEBIBYTE, ".0f"),
    "anonymous, MiB": (MEBIBYTE, ".0f"),
    "scratch disk, MiB": (MEBIBYTE, ".0f"),
    "files, MiB": (MEBIBYTE, ".1f"),
}
"""The fields of a cost: what they are called, their units, their form."""
HEAD = ["measured", *COLUMNS]


def columns(costs: Sequence[Cost]) -> list[list[float]]:
    """The values of each field, in its unit."""
    found = zip(*(astuple(cost) for cost in costs), strict=True)
    units = (unit for unit, _ in COLUMNS.values())
    return [[value / unit for value in values] for unit, values in zip(units, found, strict=True)]


def cells(costs: Sequence[Cost]) -> list[str]:
    """A line's columns; nothing where a stage or a system does not tell."""
    forms = (form for _, form in COLUMNS.values())
    found = zip(columns(costs), forms, strict=True)
    return [spread(values, form) if any(values) else "" for values, form in found]


def ratios(own: Sequence[Cost], other: Sequence[Cost]) -> list[str]:
    """Ours over theirs, round by round."""
    found = []
    for ours_, theirs in zip(columns(own), columns(other), strict=True):
        shares = [a / b for a, b in zip(ours_, theirs, strict=True) if b]
        found.append(spread(shares, ".2f") if shares else "")
    return found


def show(lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print lines of columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        if markdown:
            print(f"| {' | '.join(line)} |")
            if number == 0:
                print(f"| ---{' | ---:' * (len(line) - 1)} |")
        else:
            first, *rest = zip(line, widths, strict=True)
            print("  ".join([first[0].ljust(first[1]), *(cell.rjust(w) for cell, w in rest)]))
