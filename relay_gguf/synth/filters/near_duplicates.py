"""Scenes that are nearly another one: MinHash finds candidates, exact shares of n-grams decide.

128 hashes in 32 bands of 4: two scenes with 0.8 of their word 5-grams in common meet in some band
with a probability of 1 - 5e-8, with 0.5 in common of 0.87; the exact comparison then leaves out
what is below the threshold. datasketch would bring scipy, rensa a compiled wheel that not every
platform has; numpy is here already.
"""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.synth.words import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_HASHES: Final = 128
BANDS: Final = 32
WORDS: Final = 5
"""Words of an n-gram; a scene with fewer words is one n-gram."""

_RNG = np.random.default_rng(17)
_FACTORS: Final = _RNG.integers(1, 1 << 63, N_HASHES, dtype=np.uint64) | np.uint64(1)
_OFFSETS: Final = _RNG.integers(0, 1 << 63, N_HASHES, dtype=np.uint64)


class NearDuplicates:
    """Remembers texts, and tells which ones are nearly one that came before."""

    def __init__(self, max_similar: float) -> None:
        """Take the share of n-grams in common (Jaccard) from which a text is a duplicate."""
        self._most = max_similar
        self._grams: list[NDArray[np.uint64]] = []
        self._bands: dict[bytes, list[int]] = defaultdict(list)

    def add(self, text: str) -> bool:
        """Whether a text is nearly an earlier one; it is remembered only if not."""
        grams = grams_of(text)
        keys = _keys(grams)
        near = {place for key in keys for place in self._bands.get(key, ())}
        if any(jaccard(grams, self._grams[place]) >= self._most for place in near):
            return True
        for key in keys:
            self._bands[key].append(len(self._grams))
        self._grams.append(grams)
        return False


def grams_of(text: str, n: int = WORDS) -> NDArray[np.uint64]:
    """The hashes of a text's n-grams of words, (n_grams,), sorted, each once."""
    words = words_of(text)
    grams = {" ".join(words[k : k + n]) for k in range(max(1, len(words) - n + 1))}
    hashes = [int.from_bytes(blake2b(g.encode(), digest_size=8).digest(), "big") for g in grams]
    return np.array(sorted(hashes), np.uint64)


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """The n-grams that two texts have in common, as a share of all n-grams of both."""
    common = int(np.intersect1d(one, other, assume_unique=True).size)
    return common / (one.size + other.size - common)


def _keys(grams: NDArray[np.uint64]) -> list[bytes]:
    """A key for each band of the MinHash of n-grams."""
    mixed = _FACTORS[:, None] * grams[None, :] + _OFFSETS[:, None]  # wraps around
    minima = (mixed >> np.uint64(32)).min(axis=1).astype(np.uint32).reshape(BANDS, -1)
    return [bytes([band]) + row.tobytes() for band, row in enumerate(minima)]
