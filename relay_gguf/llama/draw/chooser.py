"""How one reply chooses its next token.

Between two evaluations everything is cold: the weights have gone through the processor's caches
since the last token, and so each function of numpy costs 10 to 40 µs on a cloud server, and each
page of memory. The quick way here reads the vocabulary twice, for its largest logit and for the few
tokens near it, and goes on in Python with these. What they do not decide goes the long way, through
`sampling.distribution`. Both draw the same token.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.repetition.dry import Penalties, dry_penalties
from relay_gguf.repetition.xtc import n_excluded
from relay_gguf.sampling import (
    LEAST_TEMPERATURE,
    SamplingParams,
    Seen,
    check_top,
    distribution,
    pick,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.sampling import Ids, Logits, Probs

NEARLY: Final = 1e-9
"""Shares that differ by less are not compared."""
MOST: Final = 128
"""Tokens that are worth a walk in Python."""
SLACK: Final = 1e-5
"""What a bound is lowered by, as a share of the largest logit: numbers of 32 bits are rounded."""
TAIL: Final = 8.0
"""Top-p needs the sum of what is unlikely: tokens down to exp(-TAIL) of the likeliest are looked
at, and the others cannot weigh much."""
DEEPEST: Final = 3.2
"""Logits below the likeliest's; deeper than this there are too many of them."""


@dataclass(slots=True)
class Chooser:
    """How one reply chooses: its parameters, its generator, the ids of its context.

    `history` are those ids in their order, which whoever has the reply adds to; only DRY needs it,
    and `breakers`. `look` is called with the logits before `choose`, and may change them; `scored`
    is told how likely the chosen token was before, as a natural logarithm: by `rows`.
    `is_quick` says whether few tokens count, with these parameters, for most logits of a model.
    """

    params: SamplingParams
    rng: random.Random
    seen: Seen
    history: Sequence[int] = ()
    breakers: frozenset[int] = frozenset()
    look: Callable[[Logits], None] | None = None
    scored: Callable[[float], None] | None = None
    is_quick: bool = field(init=False)
    _depth: float = field(init=False)
    _above: NDArray[np.bool_] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._depth = depth(self.params)
        self.is_quick = is_quick(self.params, self._depth)

    def choose(self, logits: Logits) -> int:
        """The next token by its logits, (n_vocab,), which are changed meanwhile, and put back.

        Raises:
            EngineError: the logits hold a NaN, or no finite value at all.
        """
        dry = self.dry()
        token = self.quick(logits, dry)
        return self.slow(logits, dry) if token is None else token

    def slow(self, logits: Logits, dry: Penalties | None) -> int:
        """The next token by `distribution`, whatever it follows from.

        Raises:
            EngineError: the logits hold a NaN, or no finite value at all.
        """
        return self.draw(*distribution(logits, self.seen.ids, self.params, dry))

    def quick(self, logits: Logits, dry: Penalties | None) -> int | None:
        """The next token by its logits, (n_vocab,), if it follows from a few of them; else None.

        Raises:
            EngineError: the logits hold a NaN, or no finite value at all.
        """
        if not self.is_quick:
            return None
        top = float(logits[logits.argmax()])  # numpy's argmax stops at the first NaN
        check_top(top)
        bound = self._bound(top)
        if self._above is None:
            self._above = np.empty(logits.size, np.bool_)
        (places,) = np.greater(logits, bound, out=self._above).nonzero()
        if places.size > MOST:
            return None
        return self._among(places.tolist(), logits.take(places).tolist(), bound, dry)

    def draw(self, ids: Ids, probs: Probs) -> int:
        """One of these ids by its probability, the likeliest first; XTC may leave out some."""
        first = self.n_excluded(probs.tolist()) if self.params.xtc_probability else 0
        if first:
            ids, probs = ids[first:], probs[first:] / probs[first:].sum()
        return pick(ids, probs, self.rng)

    def dry(self) -> Penalties | None:
        """What DRY takes off the logits of which tokens; None if it is off, or takes nothing."""
        params = self.params
        if not params.dry_multiplier:
            return None
        return dry_penalties(
            self.history,
            self.breakers,
            multiplier=params.dry_multiplier,
            base=params.dry_base,
            allowed_length=params.dry_allowed_length,
            last_n=params.dry_last_n,
        )

    def n_excluded(self, probs: Sequence[float]) -> int:
        """How many of the likeliest tokens XTC leaves out this time."""
        params = self.params
        return n_excluded(
            probs, self.rng, probability=params.xtc_probability, threshold=params.xtc_threshold
        )

    def _bound(self, top: float) -> float:
        """The logit that all tokens that count exceed, by the largest.

        Penalties only lower logits: what is below a bound stays there.
        """
        penalty = self.params.repeat_penalty
        slack = SLACK * (1.0 + abs(top))
        (bound,) = array("f", (min(top / penalty, top * penalty) - self._depth - slack,))
        return bound

    def _among(
        self, ids: list[int], logits: list[float], bound: float, dry: Penalties | None
    ) -> int | None:
        """The next token, if it follows from those above a bound, given by ascending ids."""
        params, temperature = self.params, self.params.temperature
        scores = self._penalized(ids, logits, dry)
        best = max(scores)
        if best <= bound:  # penalties took the likeliest, and others may come before it
            return None
        if not temperature:
            return ids[scores.index(best)]
        temperature = max(temperature, LEAST_TEMPERATURE)
        floor = max(bound, best - self._depth - SLACK)  # there are others below it
        ordered = sorted(  # equal ones in the order of their ids
            (best - score, token) for token, score in zip(ids, scores, strict=True) if score > floor
        )
        if 0 < params.top_k < len(ordered):
            least = ordered[params.top_k - 1][0]
            ordered = [one for one in ordered if one[0] <= least]
        weights = [math.exp(-less / temperature) for less, _ in ordered]
        n_kept = kept(weights, math.exp((floor - best) / temperature), params)
        if not n_kept:
            return None
        total = sum(weights[:n_kept])
        probs = [weight / total for weight in weights[:n_kept]]
        if first := self.n_excluded(probs) if params.xtc_probability else 0:
            total = sum(probs[first:])
            probs = [0.0] * first + [prob / total for prob in probs[first:]]
        draw, reached = self.rng.random(), 0.0
        for prob, (_, token) in zip(probs, ordered, strict=False):
            reached += prob
            if reached > draw:
                return token
        return ordered[n_kept - 1][1]

    def _penalized(self, ids: list[int], scores: list[float], dry: Penalties | None) -> list[float]:
        """The logits of tokens after the penalties, as numbers of 32 bits."""
        params = self.params
        if params.repeat_penalty != 1.0:
            known, (penalty,) = self.seen.known, array("f", (params.repeat_penalty,))
            scores = [
                score if token not in known else score / penalty if score > 0 else score * penalty
                for token, score in zip(ids, scores, strict=True)
            ]
            scores = array("f", scores).tolist()
        if dry is not None:
            less = dict(zip(dry.ids.tolist(), dry.amounts.tolist(), strict=True))
            scores = [
                score - less.get(token, 0.0) for token, score in zip(ids, scores, strict=True)
            ]
            scores = array("f", scores).tolist()
        return scores


def depth(params: SamplingParams) -> float:
    """How far below the likeliest logit those are that count; infinite if all do."""
    if not params.temperature:
        return 0.0
    by_min_p = -math.log(params.min_p) if params.min_p else math.inf
    if params.top_p >= 1.0:
        return params.temperature * by_min_p
    return params.temperature * max(TAIL, by_min_p if params.min_p else 0.0)


def is_quick(params: SamplingParams, reach: float) -> bool:
    """Whether few tokens count, down to so much below the likeliest, for most logits of a model."""
    if params.repeat_penalty < 1.0:
        return False
    if params.top_p >= 1.0 or not params.temperature:
        return reach < math.inf
    return params.top_k > 0 and reach <= DEEPEST


def kept(weights: Sequence[float], least: float, params: SamplingParams) -> int:
    """How many of the likeliest tokens stay after top-p and min-p; 0 if that depends on others.

    Args:
        weights: of the likeliest tokens that top-k leaves, as shares of the first one's.
        least: no other token weighs more.
        params: its steps.
    """
    n_kept = len(weights)
    if params.min_p > 0.0:
        if least >= params.min_p:
            return 0
        n_kept = sum(1 for weight in weights if weight >= params.min_p)
    if params.top_p >= 1.0:
        return n_kept if params.min_p else 0
    if not params.top_k:
        return 0
    # The least likely go while together they weigh no more than this, with all that are not here.
    total = sum(weights)
    unknown = params.top_p * least * max(0, params.top_k - len(weights))
    goes, stays = ((1.0 - params.top_p + nearly) * total for nearly in (-NEARLY, NEARLY))
    if not params.min_p and unknown > goes:
        return 0
    tail = sum(weights[n_kept:])
    for index in range(n_kept - 1, 0, -1):
        tail += weights[index]
        if tail > stays:
            return index + 1
        if tail + unknown > goes:
            return 0
    return 1
