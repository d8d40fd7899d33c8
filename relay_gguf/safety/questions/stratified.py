"""Some of many questions, of each category its share: the same ones for the same seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from .question import Question


def sample(questions: Sequence[Question], n: int, seed: int = 0) -> list[Question]:
    """`n` of the questions, in their order.

    Each stratum (source, harmless or not, category, subcategory) has its share, rounded so that all
    shares sum up to `n`; among equal claims and within a stratum, chance decides.

    Args:
        questions: all of them.
        n: how many; all if there are not more.
        seed: of the choice. It does not depend on the order of the strata.
    """
    if n >= len(questions):
        return list(questions)
    strata: dict[tuple[str, bool, str, str], list[int]] = defaultdict(list)
    for index, one in enumerate(questions):
        strata[(one.source, one.harmless, *one.place)].append(index)
    rng = random.Random(seed)
    names = sorted(strata)
    share = {name: n * len(strata[name]) / len(questions) for name in names}
    counts = {name: int(share[name]) for name in names}
    draws = {name: rng.random() for name in names}
    rest = sorted(names, key=lambda name: (counts[name] - share[name], draws[name]))
    for name in rest[: n - sum(counts.values())]:
        counts[name] += 1
    chosen = {index for name in names for index in rng.sample(strata[name], counts[name])}
    return [one for index, one in enumerate(questions) if index in chosen]
