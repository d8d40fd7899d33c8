"""Values of many positions → figures with their errors, as llama.cpp's perplexity tool has them.

An error is that of the mean, as if positions were independent of each other. Those of one text are
not quite: between files that were measured on the same positions, `paired` is what tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.errors import QualityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_POSITIONS: Final = 100
"""Fewer values are no statistics, says llama.cpp."""
KLD_PERCENTILES: Final = (100, 99.9, 99, 95, 90, 50, 10, 5, 1, 0.1, 0)
DELTA_PERCENTILES: Final = (100, 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1, 0)
CLEAR: Final = 2.0
"""Errors that two files are apart, if one counts as better."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its error, one standard deviation."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a file costs beside its base. Divergences in nats, probabilities from 0 to 1.

    `ratio` is the perplexity's ratio to the base's, with an error that counts in that both were
    measured on the same text; `delta` the change of the right token's probability, `delta_rms` its
    root mean square.
    """

    n_positions: int
    perplexity: Estimate
    base_perplexity: Estimate
    correlation: float
    log_ratio: Estimate
    ratio: Estimate
    difference: Estimate
    kld: Estimate
    kld_percentiles: Mapping[float, float]
    delta: Estimate
    delta_percentiles: Mapping[float, float]
    delta_rms: Estimate
    same_top: Estimate


def figures(values: NDArray[np.float32]) -> Figures:
    """The figures of positions (n, N_COLUMNS), see `probabilities.compared`.

    Raises:
        QualityError: they are fewer than `LEAST_POSITIONS`.
    """
    count = len(values)
    if count < LEAST_POSITIONS:
        raise QualityError(
            f"{count} positions are too few to say anything; {LEAST_POSITIONS} are the least. Take "
            "a longer text."
        )
    nll, nll_base, kld, delta, same = values.astype(np.float64).T
    mean, base = _mean(nll), _mean(nll_base)
    covariance = float((nll * nll_base).mean() - nll.mean() * nll_base.mean()) / (count - 1)
    log_ratio = Estimate(
        mean.value - base.value,
        math.sqrt(max(0.0, mean.error**2 + base.error**2 - 2 * covariance)),
    )
    perplexity, base_perplexity = _exp(mean), _exp(base)
    shared = perplexity.value * base_perplexity.value * covariance
    squared = _mean(delta**2)
    rms = math.sqrt(squared.value)
    top = float(same.mean())
    product = mean.error * base.error
    return Figures(
        n_positions=count,
        perplexity=perplexity,
        base_perplexity=base_perplexity,
        correlation=covariance / product if product else 1.0,
        log_ratio=log_ratio,
        ratio=_exp(log_ratio),
        difference=Estimate(
            perplexity.value - base_perplexity.value,
            math.sqrt(max(0.0, perplexity.error**2 + base_perplexity.error**2 - 2 * shared)),
        ),
        kld=_mean(kld),
        kld_percentiles=_percentiles(kld, KLD_PERCENTILES),
        delta=_mean(delta),
        delta_percentiles=_percentiles(delta, DELTA_PERCENTILES),
        delta_rms=Estimate(rms, 0.5 / rms * squared.error if rms else 0.0),
        same_top=Estimate(top, math.sqrt(top * (1 - top) / (count - 1))),
    )


def paired(one: NDArray[np.float32], other: NDArray[np.float32]) -> Estimate:
    """How much more one file diverges from the base than another, at the same positions, in nats.

    Much sharper than the two divergences: what is hard for one file is hard for the other.
    """
    return _mean(one[:, 2].astype(np.float64) - other[:, 2].astype(np.float64))


def is_clear(difference: Estimate) -> bool:
    """Whether a difference is more than chance."""
    return abs(difference.value) > CLEAR * difference.error


def _mean(values: NDArray[np.float64]) -> Estimate:
    count = len(values)
    mean = float(values.mean())
    variance = float((values**2).mean()) - mean**2
    return Estimate(mean, math.sqrt(variance / (count - 1)) if variance > 0 else 0.0)


def _exp(log: Estimate) -> Estimate:
    value = math.exp(min(log.value, 700.0))
    return Estimate(value, value * log.error)


def _percentiles(values: NDArray[np.float64], which: tuple[float, ...]) -> dict[float, float]:
    return dict(zip(which, map(float, np.percentile(values, which)), strict=True))
