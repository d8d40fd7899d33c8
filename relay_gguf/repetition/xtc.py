"""XTC, "exclude top choices": now and then all likely tokens but the least likely of them go.

By p-e-w (text-generation-webui 6335); the rules are those of llama.cpp's `llama_sampler_init_xtc`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

NEVER: Final = 0.5
"""A threshold above this leaves nothing out: two tokens cannot both reach it."""


def n_excluded(
    probs: Sequence[float], rng: random.Random, *, probability: float, threshold: float
) -> int:
    """How many of the likeliest tokens are left out this time.

    Args:
        probs: of the tokens that are left, the likeliest first; they sum up to 1.
        rng: draws whether anything is left out.
        probability: of that; 0 draws nothing.
        threshold: the tokens that reach it are left out, but for the last of them.
    """
    if probability <= 0 or threshold > NEVER:
        return 0
    if len(probs) < 2 or rng.random() > probability:
        return 0
    reached = takewhile(lambda prob: prob >= threshold, probs)
    return max(0, sum(1 for _ in reached) - 1)
