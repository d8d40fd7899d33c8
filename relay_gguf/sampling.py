"""Sampling as relaylm.py does it: logits in, the next token out.

The order is that of Hugging Face transformers (`generation/utils.py`): repetition penalty over
the whole context, temperature, top-k, top-p, min-p, multinomial. llama.cpp's own sampler chain
has another order and a penalty that never sees the prompt, so it is not used.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import EngineError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .repetition.dry import Penalties

    Logits = NDArray[np.float32]
    Ids = NDArray[np.intp]
    Probs = NDArray[np.float64]

SEED_BITS = 32
"""Bits of a seed."""
WHOLE = frozenset(("top_k", "max_tokens", "seed", "dry_allowed_length", "dry_last_n", "loop_guard"))
"""The parameters that are whole numbers."""
LARGEST = 2**31 - 1
"""The largest whole number that a setting may be, but for a seed: arrays count no further."""
LEAST_TEMPERATURE = 1e-30
"""What is less would divide to infinity."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen, and how many at most; the defaults are the original's.

    A temperature of 0 takes the likeliest token. A top_k of 0, a top_p of 1, a min_p of 0 and a
    repeat_penalty of 1 switch that step off, as do a dry_multiplier, an xtc_probability and a
    loop_guard of 0. A seed of None draws one.

    DRY comes after the penalty, XTC after min-p, as in llama.cpp. `loop_guard` is how often a
    passage stands in a reply when the reply is stopped; who reads its text does that.

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
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_last_n: int = 0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    loop_guard: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_k", 0, LARGEST),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("repeat_penalty", 0.01, 100.0),
            ("max_tokens", 1, LARGEST),
            ("seed", 0, 2**SEED_BITS - 1),
            ("dry_multiplier", 0.0, 100.0),
            ("dry_base", 1.0, 100.0),
            ("dry_allowed_length", 0, LARGEST),
            ("dry_last_n", 0, LARGEST),
            ("xtc_probability", 0.0, 1.0),
            ("xtc_threshold", 0.0, 1.0),
            ("loop_guard", 0, LARGEST),
        ):
            value = getattr(self, name)
            if name == "seed" and value is None:
                continue
            whole = name in WHOLE
            if not isinstance(value, int if whole else (int, float)):
                raise SettingsError(f"{name} is {value!r}; it must be a {'whole ' * whole}number.")
            if not low <= value <= high:
                upper = "or more" if value < low and high == LARGEST else f"to {high:.10g}"
                raise SettingsError(f"{name} is {value}; it must be {low:g} {upper}.")


DEFAULTS = SamplingParams()


def draw_seed() -> int:
    """A fresh 32-bit seed from the operating system."""
    return random.SystemRandom().getrandbits(SEED_BITS)


class Seen:
    """The ids of a context, each once, in an array to which a reply adds its own.

    A set would have to be made into an array for every token.
    """

    def __init__(self, ids: Iterable[int], room: int) -> None:
        """Begin with `ids`; there is room for `room` different ids in all."""
        import numpy as np

        self.known = set(ids)
        self._array: Ids = np.empty(room, dtype=np.intp)
        self._array[: len(self.known)] = list(self.known)

    @property
    def ids(self) -> Ids:
        """The ids, (n_seen,), in no particular order."""
        return self._array[: len(self.known)]

    def add(self, token: int) -> None:
        """Add a token of the reply."""
        if token not in self.known:
            self._array[len(self.known)] = token
            self.known.add(token)


def penalized(scores: Logits, repeat_penalty: float | Logits) -> Logits:
    """The logits, (n_seen,), of tokens that were seen, each made less likely.

    Positive logits are divided by the penalty, negative ones multiplied (Keskar et al. 2019,
    arXiv:1909.05858 §4.1, with the sign rule of transformers). The penalty is one for all, or one
    for each.
    """
    import numpy as np

    if isinstance(repeat_penalty, float) and repeat_penalty == 1.0:
        return scores
    return np.where(scores > 0, scores / repeat_penalty, scores * repeat_penalty)


def largest(scores: Logits, k: int, top: float) -> Ids:
    """Ids of the `k` largest scores, ties with the last of them included, in ascending order.

    Sorting a vocabulary of 131,072 takes milliseconds. A set of all scores above some bound that
    has k members holds the k largest, so a bound below the maximum `top` is lowered until it does,
    and only that set is sorted: 0.07 ms.
    """
    import numpy as np

    if not 0 < k < scores.size:
        return np.arange(scores.size)
    depth = 4.0
    while True:
        ids: Ids = (scores > top - depth).nonzero()[0]
        if ids.size >= k:
            break
        depth *= 2
        if depth > 1e6:  # fewer than k finite scores
            ids = np.arange(scores.size)
            break
    kept: Logits = scores[ids]
    kth = float(np.partition(kept, ids.size - k)[ids.size - k])
    return ids[kept >= kth]


def check_top(top: float) -> None:
    """Refuse the largest logit of a model that computes nonsense.

    Raises:
        EngineError: it is a NaN or infinite.
    """
    if not math.isfinite(top):
        raise EngineError(
            "The model computed no usable number (NaN or infinite logits): its file may be "
            "damaged. Check it against the published checksum, or try another quantization."
        )


def distribution(
    logits: Logits, seen: Ids, params: SamplingParams, dry: Penalties | None = None
) -> tuple[Ids, Probs]:
    """Token ids and their probabilities, (n_kept,) each, after all steps but the draw.

    Args:
        logits: (n_vocab,) as the model gave them; changed meanwhile, and put back.
        seen: every token id of the context, (n_seen,), prompt and control tokens included.
        params: a temperature of 0 leaves the likeliest id alone.
        dry: what DRY takes off, if it is on.

    Returns:
        The ids, the likeliest first, and their probabilities, which sum up to 1.

    Raises:
        EngineError: the logits hold a NaN, or no finite value at all.
    """
    import numpy as np

    given = logits[seen]
    logits[seen] = penalized(given, params.repeat_penalty)
    before = None if dry is None else logits[dry.ids]
    try:
        if dry is not None:
            logits[dry.ids] -= dry.amounts
        best = int(logits.argmax())  # numpy's argmax stops at the first NaN
        top = float(logits[best])
        check_top(top)
        if params.temperature == 0:
            return np.array([best], dtype=np.intp), np.ones(1)
        ids = largest(logits, params.top_k, top)
        scores: Probs = logits[ids].astype(np.float64) - top
    finally:
        if dry is not None:
            logits[dry.ids] = before
        logits[seen] = given  # cheaper than to copy them all before

    scaled = scores / max(params.temperature, LEAST_TEMPERATURE)
    order = (-scaled).argsort(kind="stable")
    ids, probs = ids[order], np.exp(scaled[order])
    probs /= probs.sum()
    # From here on the likeliest come first, so that each step keeps the first few.
    if params.top_p < 1.0:
        # The least likely tokens go while together they weigh no more than 1 - top_p.
        gone = int(probs[::-1].cumsum().searchsorted(1.0 - params.top_p, side="right"))
        probs = probs[: max(1, probs.size - gone)]
        probs /= probs.sum()
    if params.min_p > 0.0:
        probs = probs[: np.count_nonzero(probs >= params.min_p * probs[0])]
        probs /= probs.sum()
    return ids[: probs.size], probs


def pick(ids: Ids, probs: Probs, rng: random.Random) -> int:
    """Draw an id. Python's generator gives the same numbers for a seed on every platform."""
    index = int(probs.cumsum().searchsorted(rng.random(), side="right"))
    return int(ids[min(index, ids.size - 1)])
