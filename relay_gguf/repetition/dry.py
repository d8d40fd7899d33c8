"""DRY: tokens that would make a repetition longer get less likely, the longer it is, the less.

The name is "don't repeat yourself" (by p-e-w, text-generation-webui 5677). The rules are those of
llama.cpp's `llama_sampler_init_dry`, where a sequence breaker is a single token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST: Final = 3.4e38
"""About the largest number of 32 bits; a penalty is not larger."""
MAX_LOG: Final = 88.7228391
"""Its logarithm."""


@dataclass(frozen=True, slots=True)
class Penalties:
    """Token ids in ascending order, and what is taken off the logit of each: (n,) both."""

    ids: NDArray[np.intp]
    amounts: NDArray[np.float32]


def dry_penalties(
    history: Sequence[int],
    breakers: Set[int],
    *,
    multiplier: float,
    base: float = 1.75,
    allowed_length: int = 2,
    last_n: int = 0,
) -> Penalties | None:
    """What DRY takes off the logits of tokens that have followed the end of the context before.

    Where the last `n` tokens stand earlier too, the token that followed them there costs
    `multiplier * base ** (n - allowed_length)`; the longest `n` counts.

    Args:
        history: the ids of the context, in their order.
        breakers: ids that end a repetition, and are never penalized.
        multiplier: of the penalty; 0 is none.
        base: by which it grows with each token of the repetition, 1 or more.
        allowed_length: tokens that may be repeated without a penalty.
        last_n: how many tokens of the context are looked at, from its end; 0 is all.

    Returns:
        None if nothing is penalized.
    """
    ids = np.array(history[-last_n:], np.intp)
    if multiplier == 0 or ids.size <= allowed_length:
        return None
    n_since = next((n for n, token in enumerate(reversed(history)) if token in breakers), ids.size)
    most = min(n_since, ids.size)
    if most < allowed_length:
        return None
    cap = int(MAX_LOG / math.log(base)) if base > 1.000001 else ids.size
    lengths = _repeats(ids, min(most, allowed_length + cap))
    (ends,) = (lengths >= allowed_length).nonzero()
    longest: dict[int, int] = {}
    for token, length in zip(ids[ends + 1].tolist(), lengths[ends].tolist(), strict=True):
        if token not in breakers:
            longest[token] = max(length, longest.get(token, 0))
    if not longest:
        return None
    tokens = sorted(longest)
    amounts = [multiplier * base ** (longest[token] - allowed_length) for token in tokens]
    return Penalties(
        np.array(tokens, np.intp), np.array([min(a, LARGEST) for a in amounts], np.float32)
    )


def _repeats(ids: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """How many tokens up to each place but the last are those up to the last: (n_ids - 1,).

    All places are followed at once, one token back at a time, until `most` or none is the same.
    """
    last = ids.size - 1
    lengths = np.zeros(last, np.intp)
    alive = (ids[:-1] == ids[last]).nonzero()[0]
    for length in range(1, most + 1):
        lengths[alive] = length
        alive = alive[alive >= length]
        alive = alive[ids[alive - length] == ids[last - length]]
        if not alive.size:
            break
    return lengths
