"""Sampling as relaylm.py has it: how logits become the next token.

The order is that of Hugging Face transformers (`generation/utils.py`): repetition penalty over
the whole context, temperature, top-k, top-p, min-p, multinomial. llama.cpp's own sampler chain
has another order and a penalty that never sees the prompt, so it is not used.
"""

from __future__ import annotations

import math
import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import EngineError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
    Ids = NDArray[np.intp]
    Probs = NDArray[np.float64]

SEED_BITS = 32


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen; the defaults are the original's.

    A temperature of 0 takes the likeliest token. A top_k of 0, a top_p of 1, a min_p of 0 and a
    repeat_penalty of 1 switch that step off. `seed` None draws one.

    Raises:
        SettingsError: a value is outside its range.
    """

    temperature: float = 0.3
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.1
    max_tokens: int = 128
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_k", 0, math.inf),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("repeat_penalty", 0.01, 100.0),
            ("max_tokens", 1, math.inf),
            ("seed", 0, 2**SEED_BITS - 1),
        ):
            value = getattr(self, name)
            if name == "seed" and value is None:
                continue
            whole = name in ("top_k", "max_tokens", "seed")
            if not isinstance(value, int if whole else (int, float)):
                raise SettingsError(f"{name} is {value!r}; it must be a {'whole ' * whole}number.")
            if not low <= value <= high:
                upper = f"to {high:g}" if high < math.inf else "or more"
                raise SettingsError(f"{name} is {value}; it must be {low:g} {upper}.")


DEFAULTS = SamplingParams()


def draw_seed() -> int:
    """A fresh 32-bit seed from the operating system."""
    return random.SystemRandom().getrandbits(SEED_BITS)


def penalized(logits: Logits, seen: AbstractSet[int], repeat_penalty: float) -> Logits:
    """A copy of `logits` (n_vocab,) with each token of `seen` made less likely, once.

    Positive logits are divided by the penalty, negative ones multiplied (Keskar et al. 2019,
    arXiv:1909.05858 §4.1, with the sign rule of transformers).
    """
    import numpy as np

    scores: Logits = logits.copy()
    if repeat_penalty != 1.0 and seen:
        ids = np.fromiter(seen, dtype=np.intp, count=len(seen))
        values = scores[ids]
        scores[ids] = np.where(values > 0, values / repeat_penalty, values * repeat_penalty)
    return scores


def largest(scores: Logits, k: int) -> Ids:
    """Ids of the `k` largest scores, ties with the last of them included.

    Sorting a vocabulary of 131,072 takes milliseconds. A set of all scores above some bound that
    has k members holds the k largest, so a bound below the maximum is lowered until it does, and
    only that set is sorted: 0.07 ms.
    """
    import numpy as np

    if not 0 < k < scores.size:
        return np.arange(scores.size)
    top, depth = float(scores.max()), 4.0
    while True:
        ids = np.flatnonzero(scores > top - depth)
        if ids.size >= k:
            break
        depth *= 2
        if depth > 1e6:  # fewer than k finite scores
            ids = np.arange(scores.size)
            break
    kept: Logits = scores[ids]
    kth = float(np.partition(kept, ids.size - k)[ids.size - k])
    return ids[kept >= kth]


def distribution(
    logits: Logits, seen: AbstractSet[int], params: SamplingParams
) -> tuple[Ids, Probs]:
    """Token ids and their probabilities, likeliest first, after all steps but the draw.

    Args:
        logits: (n_vocab,) as the model gave them; left unchanged.
        seen: every token id of the context, prompt and control tokens included.
        params: a temperature of 0 leaves one id.

    Raises:
        EngineError: the logits hold a NaN, or no finite value at all.
    """
    import numpy as np

    scores = penalized(logits, seen, params.repeat_penalty)
    best = int(scores.argmax())  # numpy's argmax stops at the first NaN
    if not math.isfinite(float(scores[best])):
        raise EngineError(
            "The model computed no usable number (NaN or infinite logits): its file may be "
            "damaged. Check it against the published checksum, or try another quantization."
        )
    if params.temperature == 0:
        return np.array([best], dtype=np.intp), np.ones(1)

    ids = largest(scores, params.top_k)
    temperature = max(params.temperature, 1e-30)  # what is less would divide to infinity
    scaled = (scores[ids].astype(np.float64) - scores[best]) / temperature
    order = np.argsort(-scaled, kind="stable")
    ids, scaled = ids[order], scaled[order]
    probs = np.exp(scaled)
    probs /= probs.sum()
    if params.top_p < 1.0:
        # The least likely tokens go while together they weigh no more than 1 - top_p.
        tail = np.cumsum(probs[::-1])[::-1]
        keep = tail > 1.0 - params.top_p
        keep[0] = True
        ids, probs = ids[keep], probs[keep] / probs[keep].sum()
    if params.min_p > 0.0:
        keep = probs >= params.min_p * probs[0]
        ids, probs = ids[keep], probs[keep] / probs[keep].sum()
    return ids, probs


def pick(ids: Ids, probs: Probs, rng: random.Random) -> int:
    """Draw one id. Python's generator gives the same numbers for a seed on every platform."""
    import numpy as np

    point = rng.random()
    index = int(np.searchsorted(np.cumsum(probs), point, side="right"))
    return int(ids[min(index, ids.size - 1)])
