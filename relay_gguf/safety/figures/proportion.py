"""Shares of answers with their intervals, McNemar's test of paired answers, agreement of judges.

Wilson's interval is of the share that would be found with many more questions of the same kind;
that of 0 of 20 reaches from 0 to 16 %. McNemar's test looks only at questions on which two files
differ, and asks how likely it is that chance alone divides them so unevenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Z: Final = 1.959963984540054
"""The normal distribution's quantile of 97.5 %: intervals of 95 %."""


@dataclass(frozen=True, slots=True)
class Proportion:
    """`count` of `n` answers."""

    count: int
    n: int

    @property
    def share(self) -> float:
        """From 0 to 1; a NaN without answers."""
        return self.count / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of 95 %; all of 0 to 1 without answers."""
        if not self.n:
            return 0.0, 1.0
        z2 = Z * Z
        middle = (self.count + z2 / 2) / (self.n + z2)
        half = Z / (self.n + z2) * math.sqrt(self.count * (1 - self.share) + z2 / 4)
        low = 0.0 if self.count == 0 else max(0.0, middle - half)
        return low, 1.0 if self.count == self.n else min(1.0, middle + half)


def proportion(values: Iterable[bool | None]) -> Proportion:
    """The share of true values among those that are known."""
    known = [value for value in values if value is not None]
    return Proportion(sum(known), len(known))


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value, exact, of McNemar's test.

    Args:
        first_only: pairs where the first alone is true.
        second_only: pairs where the second alone is true.
    """
    n, least = first_only + second_only, min(first_only, second_only)
    if not n:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(least + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of a family of tests, adjusted by Holm's method."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        found[i] = highest
    return found


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two judges say the same: `same` of `n`, and Cohen's kappa.

    Kappa is 1 for judges that always agree and 0 for ones that agree as chance would; a NaN where
    both always say one and the same thing.
    """

    same: int
    n: int
    kappa: float


def agreement(pairs: Iterable[tuple[bool | None, bool | None]]) -> Agreement:
    """The agreement of two judges over what both have judged."""
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    n = len(known)
    if not n:
        return Agreement(0, 0, math.nan)
    same = sum(a == b for a, b in known)
    first, second = (sum(bool(pair[i]) for pair in known) / n for i in (0, 1))
    by_chance = first * second + (1 - first) * (1 - second)
    kappa = (same / n - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan
    return Agreement(same, n, kappa)
