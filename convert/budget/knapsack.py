"""One type for each tensor, within a size, so that the sum of the damage is least.

A knapsack in which one of several is taken of each. The steps down the lower convex hulls in the
order of their slopes are the linear program's own solution but for its last step, which it takes in
part (Sinha and Zoltners 1979): so its value is known, and bounds what any choice can reach. The
largest tensors are tried with each of their options, since a step of theirs may be more than what
room is left; that is then filled, and pairs are exchanged while that helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final

import numpy as np

from relay_gguf.convert.quantize.ftypes import Type

N_LARGE: Final = 2
"""Tensors of which each option is tried: as a rule the embedding and the output head."""
MOST_MOVES: Final = 300
"""Ways up, and ways down, that are paired at once."""
MOST_ROUNDS: Final = 200


@dataclass(frozen=True, slots=True)
class TypeOption:
    """A type that a tensor may have, its bytes, and the damage that it does."""

    kind: Type
    n_bytes: int
    damage: float


@dataclass(frozen=True, slots=True)
class Selection:
    """An option for each tensor; `bound` is a damage that no other selection is below."""

    chosen: Mapping[str, TypeOption]
    bound: float

    @property
    def n_bytes(self) -> int:
        """Of all tensors."""
        return sum(option.n_bytes for option in self.chosen.values())

    @property
    def damage(self) -> float:
        """Of all tensors."""
        return _damage(self.chosen)


def smallest(options: Mapping[str, Sequence[TypeOption]]) -> int:
    """The fewest bytes that a selection can have."""
    return sum(min(option.n_bytes for option in each) for each in options.values())


def select(options: Mapping[str, Sequence[TypeOption]], room: int) -> Selection:
    """The selection of least damage within `room` bytes, which must be `smallest` or more."""
    bound = _stepped(options, room)[1]
    large = sorted(options, key=lambda name: -max(o.n_bytes for o in options[name]))[:N_LARGE]
    best: dict[str, TypeOption] | None = None
    for given in product(*(options[name] for name in large)):
        fixed = dict(options) | {name: [one] for name, one in zip(large, given, strict=True)}
        if smallest(fixed) > room:
            continue
        chosen, _ = _stepped(fixed, room)
        if best is None or _damage(chosen) < _damage(best):
            best = chosen
    assert best is not None
    _refine(options, best, room - sum(option.n_bytes for option in best.values()))
    return Selection(best, min(bound, _damage(best)))


def _stepped(
    options: Mapping[str, Sequence[TypeOption]], room: int
) -> tuple[dict[str, TypeOption], float]:
    """Steps down the hulls while they fit, and the damage that the linear program has."""
    hulls = {name: _hull(each) for name, each in options.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    free = room - sum(option.n_bytes for option in chosen.values())
    steps = [
        ((b.damage - a.damage) / (b.n_bytes - a.n_bytes), name, place, a, b)
        for name, hull in hulls.items()
        for place, (a, b) in enumerate(pairwise(hull))
    ]
    steps.sort(key=lambda step: step[:3])
    bound: float | None = None
    stopped: set[str] = set()
    for slope, name, _, before, after in steps:
        cost = after.n_bytes - before.n_bytes
        if cost > free and bound is None:
            bound = _damage(chosen) + slope * free
        if cost > free or name in stopped:
            stopped.add(name)
            continue
        chosen[name] = after
        free -= cost
    return chosen, _damage(chosen) if bound is None else bound


def _damage(chosen: Mapping[str, TypeOption]) -> float:
    return math.fsum(option.damage for option in chosen.values())


def _hull(options: Sequence[TypeOption]) -> list[TypeOption]:
    """The options on the lower convex hull of damage over bytes, the smallest first."""
    hull: list[TypeOption] = []
    for option in sorted(options, key=lambda each: (each.n_bytes, each.damage)):
        if hull and (option.damage >= hull[-1].damage or option.n_bytes == hull[-1].n_bytes):
            continue
        while len(hull) > 1 and _is_above(hull[-2], hull[-1], option):
            hull.pop()
        hull.append(option)
    return hull


def _is_above(a: TypeOption, b: TypeOption, c: TypeOption) -> bool:
    """Whether b is on or above the line from a to c."""
    rise, run = c.damage - a.damage, c.n_bytes - a.n_bytes
    return (b.damage - a.damage) * run >= rise * (b.n_bytes - a.n_bytes)


def _refine(
    options: Mapping[str, Sequence[TypeOption]], chosen: dict[str, TypeOption], free: int
) -> None:
    """Exchange one or two options at a time while that lessens the damage within the room."""
    for _ in range(MOST_ROUNDS):
        moves: list[tuple[float, int, str, TypeOption | None]] = [
            (option.damage - now.damage, option.n_bytes - now.n_bytes, name, option)
            for name, now in chosen.items()
            for option in options[name]
            if option is not now
        ]
        better = sorted((m for m in moves if m[0] < 0), key=lambda m: m[0] / max(m[1], 1))
        smaller = sorted((m for m in moves if m[1] < 0), key=lambda m: m[0] / -m[1])
        better, smaller = better[:MOST_MOVES], smaller[:MOST_MOVES]
        smaller.append((0.0, 0, "", None))  # nothing has to become smaller
        if not better:
            return
        gain, cost = (
            np.array([m[at] for m in better])[:, None] + np.array([m[at] for m in smaller])
            for at in (0, 1)
        )
        number = {name: at for at, name in enumerate(chosen)}
        of_better = np.array([number[m[2]] for m in better])
        same = of_better[:, None] == np.array([number.get(m[2], -1) for m in smaller])
        gain[(cost > free) | same] = 0.0
        up, down = np.unravel_index(int(gain.argmin()), gain.shape)
        if gain[up, down] >= 0:
            return
        for _, change, name, option in (better[up], smaller[down]):
            if option is not None:
                chosen[name] = option
                free -= change
