"""How one reply chooses its next token."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay_gguf.repetition.dry import Penalties, dry_penalties
from relay_gguf.repetition.xtc import n_excluded
from relay_gguf.sampling import (
    SamplingParams,
    Seen,
    distribution,
    pick,
)

if TYPE_CHECKING:
    from relay_gguf.sampling import Ids, Logits, Probs


@dataclass(frozen=True, slots=True)
class Chooser:
    """How one reply chooses: its parameters, its generator, the ids of its context.

    `history` are those ids in their order, which whoever has the reply adds to; only DRY needs it,
    and `breakers`. `look` is called with the logits before `choose`, and may change them; `scored`
    is told how likely the chosen token was before, as a natural logarithm: by `RowSampler`.
    """

    params: SamplingParams
    rng: random.Random
    seen: Seen
    history: Sequence[int] = ()
    breakers: frozenset[int] = frozenset()
    look: Callable[[Logits], None] | None = None
    scored: Callable[[float], None] | None = None

    def choose(self, logits: Logits) -> int:
        """The next token by its logits, (n_vocab,), which are changed meanwhile, and put back.

        Raises:
            EngineError: the logits hold a NaN, or no finite value at all.
        """
        return self.draw(*distribution(logits, self.seen.ids, self.params, self.dry()))

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
