"""Logits → the probabilities of a base in 16 bits, and how far another model's are from them.

Both are llama.cpp's own arithmetic (tools/perplexity/perplexity.cpp), float32 with sums in float64:
its files can be read here, ours there, and the figures are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.errors import QualityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.sampling import Logits

STEPS: Final = 65535
SPAN: Final = 16
"""Logits that are so much below the largest are taken as being no farther below."""
LEAST: Final = np.float32(-16)
"""Tokens whose log probability is no larger do not count in a divergence."""
N_COLUMNS: Final = 5
"""Values of a position: see `compared`."""


def record_width(n_vocab: int) -> int:
    """The number of 16-bit values of a position: scale and least in float32, and all tokens."""
    return 2 * ((n_vocab + 1) // 2) + 4


def packed(logits: Logits) -> NDArray[np.uint16]:
    """Logits (n, n_vocab) as log probabilities in 16 bits, (n, `record_width`).

    Raises:
        QualityError: there are values that are not finite.
    """
    n_rows, n_vocab = logits.shape
    high = logits.max(axis=1)
    low = logits.min(axis=1)
    if not (np.isfinite(high) & np.isfinite(low)).all():
        raise QualityError(
            "The model gives logits that are not finite. `relay-gguf inspect` may show a fault of "
            "its file; `relay-gguf doctor` tests the devices."
        )
    low = np.maximum(low, high - np.float32(SPAN))
    spread = _log_sum(logits, high)
    scale = (high - low) / np.float32(STEPS)
    records = np.zeros((n_rows, record_width(n_vocab)), np.uint16)
    head = np.stack([scale, low - high - spread], axis=1).astype(np.float32)
    records[:, :4] = head.view(np.uint16)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > 0, np.float32(1) / scale, np.float32(0)).astype(np.float32)
    steps = np.maximum(logits - low[:, None], np.float32(0)) * inverse[:, None]
    records[:, 4 : 4 + n_vocab] = np.minimum(np.rint(steps), STEPS).astype(np.uint16)
    return records


def compared(
    logits: Logits, records: NDArray[np.uint16], following: NDArray[np.int32]
) -> NDArray[np.float32]:
    """How a model's logits (n, n_vocab) differ from a base's records.

    Returns:
        For each position: -log p of the token that follows, by the model and by the base; the
        divergence of the model from the base, in nats; the change of that token's probability; 1
        where both expect the same token most, else 0. Shape (n, `N_COLUMNS`).

    Raises:
        QualityError: there are values that are not finite.
    """
    n_rows, n_vocab = logits.shape
    rows = np.arange(n_rows)
    high = logits.max(axis=1)
    if not np.isfinite(high).all():
        raise QualityError(
            "The model gives logits that are not finite. `relay-gguf inspect` may show a fault of "
            "its file; `relay-gguf doctor` tests the devices."
        )
    norm = high + _log_sum(logits, high)
    head = np.ascontiguousarray(records[:, :4]).view(np.float32)
    steps = records[:, 4 : 4 + n_vocab]
    log_base = steps.astype(np.float32)
    log_base *= head[:, :1]
    log_base += head[:, 1:]
    p_base = np.exp(log_base)
    p_base[log_base <= LEAST] = 0
    nll = norm - logits[rows, following]
    nll_base = -log_base[rows, following]
    log_base -= logits
    log_base += norm[:, None]
    log_base *= p_base
    divergence = log_base.sum(axis=1, dtype=np.float64)
    same = logits.argmax(axis=1) == steps.argmax(axis=1)
    columns = [nll, nll_base, divergence, np.exp(-nll) - np.exp(-nll_base), same]
    return np.stack(columns, axis=1).astype(np.float32)


def _log_sum(logits: Logits, high: NDArray[np.float32]) -> NDArray[np.float32]:
    """log Σ exp(logit - high) of each row."""
    sums = np.exp(logits - high[:, None]).sum(axis=1, dtype=np.float64)
    spread: NDArray[np.float32] = np.log(sums).astype(np.float32)
    return spread
