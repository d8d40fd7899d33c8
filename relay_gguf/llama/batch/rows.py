"""Sampling many rows of logits at once, each as `sampling.distribution` and `pick` do it alone.

The steps and their order are the same; each is done for all rows by one call of numpy. A row that
keeps its whole vocabulary (no top-k, and no min-p that would bound it) goes through `distribution`:
sorting 49,152 numbers takes so long that the calls do not count.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.sampling import (
    SamplingParams,
    Seen,
    check_top,
    distribution,
    largest,
    penalized,
    pick,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.sampling import Ids, Logits, Probs

DEPTH: Final = 6.0
"""Below the largest logit: the first guess of how far down the `top_k` largest of a row lie."""
LEAST_TEMPERATURE: Final = 1e-30
"""What is less would divide to infinity."""


@dataclass(slots=True)
class Chooser:
    """How one reply chooses: its parameters, its generator, the ids of its context."""

    params: SamplingParams
    rng: random.Random
    seen: Seen
    depth: float = DEPTH  # follows what the last rows needed; the result does not depend on it


def choose(logits: Logits, choosers: Sequence[Chooser]) -> list[int]:
    """The next token of each row of `logits`, (n_rows, n_vocab), which are changed.

    Raises:
        EngineError: a row holds a NaN, or no finite value at all.
    """
    _penalize(logits, choosers)
    best = logits.argmax(axis=1)  # stops at a row's first NaN
    tops = logits[np.arange(len(choosers)), best]
    for top in tops[~np.isfinite(tops)]:
        check_top(float(top))
    tokens: list[int] = best.tolist()
    drawn: list[int] = []
    for row, chooser in enumerate(choosers):
        if chooser.params.temperature == 0:
            continue
        if _keeps_all(chooser.params, logits.shape[1]):
            tokens[row] = _alone(logits[row], chooser)
        else:
            drawn.append(row)
    if drawn:
        some = [choosers[row] for row in drawn]
        rows = logits if len(drawn) == len(choosers) else logits[drawn]
        for row, token in zip(drawn, _draw(rows, tops[drawn], some), strict=True):
            tokens[row] = token
    return tokens


def _penalize(logits: Logits, choosers: Sequence[Chooser]) -> None:
    """Make the tokens that a row's context has seen less likely, in place."""
    some = [row for row, one in enumerate(choosers) if one.params.repeat_penalty != 1.0]
    if not some:
        return
    n_vocab = logits.shape[1]
    seen = [choosers[row].seen.ids for row in some]
    sizes = [ids.size for ids in seen]
    penalties = {choosers[row].params.repeat_penalty for row in some}
    flat = logits.reshape(-1)
    places = np.concatenate(seen) + np.repeat([row * n_vocab for row in some], sizes)
    if len(penalties) == 1:
        flat[places] = penalized(flat[places], penalties.pop())
        return
    each = [choosers[row].params.repeat_penalty for row in some]
    # Python's floats leave float32 logits float32; an array of float64 would not.
    factors = np.repeat(np.array(each, np.float32), sizes)
    flat[places] = penalized(flat[places], factors)


def _keeps_all(params: SamplingParams, n_vocab: int) -> bool:
    bounded = params.min_p > 0.0 and params.top_p >= 1.0
    return not 0 < params.top_k < n_vocab and not bounded


def _alone(scores: Logits, chooser: Chooser) -> int:
    nothing = np.empty(0, np.intp)  # the penalty has been applied
    return pick(*distribution(scores, nothing, chooser.params), chooser.rng)


def _draw(logits: Logits, tops: Logits, choosers: Sequence[Chooser]) -> list[int]:
    """A token for each row, by top-k, top-p and min-p."""
    ids, scores = _candidates(logits, tops, choosers)
    scaled = scores / _column([max(c.params.temperature, LEAST_TEMPERATURE) for c in choosers])
    order = (-scaled).argsort(axis=1, kind="stable")  # equal ones stay in the order of their ids
    probs: Probs = np.exp(np.take_along_axis(scaled, order, axis=1))
    probs /= probs.sum(axis=1, keepdims=True)
    top_p = np.array([chooser.params.top_p for chooser in choosers])
    if (top_p < 1.0).any():
        # The least likely tokens go while together they weigh no more than 1 - top_p.
        weights = probs[:, ::-1].cumsum(axis=1)
        gone = (weights <= (1.0 - top_p)[:, None]).sum(axis=1)
        kept = np.where(top_p < 1.0, np.maximum(1, probs.shape[1] - gone), probs.shape[1])
        _keep_first(probs, kept)
    min_p = np.array([chooser.params.min_p for chooser in choosers])
    if min_p.any():
        _keep_first(probs, (probs >= min_p[:, None] * probs[:, :1]).sum(axis=1))
    sums = probs.cumsum(axis=1)
    draws = _column([chooser.rng.random() for chooser in choosers])
    n_kept = (probs > 0).sum(axis=1)
    index = np.minimum((sums <= draws).sum(axis=1), n_kept - 1)[:, None]
    picked = np.take_along_axis(ids, np.take_along_axis(order, index, axis=1), axis=1)
    tokens: list[int] = picked[:, 0].tolist()
    return tokens


def _candidates(logits: Logits, tops: Logits, choosers: Sequence[Chooser]) -> tuple[Ids, Probs]:
    """Ids and logits below the largest, (n_rows, n_most) each, of what top-k leaves of each row.

    A row with fewer ends in ids of 0 and scores of -inf.
    """
    n_rows, n_vocab = logits.shape
    ks = np.array([_bound(chooser.params, n_vocab) for chooser in choosers])
    depths = np.array([_depth(c, int(k)) for c, k in zip(choosers, ks, strict=True)])
    flat = np.flatnonzero(logits > (tops - depths.astype(np.float32))[:, None])
    bounds = np.searchsorted(flat, np.arange(n_rows + 1) * n_vocab)
    counts = np.diff(bounds)
    lacking = np.flatnonzero(counts < ks)
    if lacking.size:
        parts = np.split(flat, bounds[1:-1])
        for row in lacking.tolist():
            parts[row] = largest(logits[row], int(ks[row]), float(tops[row])) + row * n_vocab
        flat, counts = np.concatenate(parts), np.array([part.size for part in parts])
    _adapt(choosers, counts, ks)
    ids, scores = _padded(flat, counts, logits, tops)
    cut = np.flatnonzero((counts > ks) & (ks > 0))
    if cut.size:
        width = scores.shape[1]
        places = width - ks[cut]
        ordered = np.partition(scores[cut], np.unique(places), axis=1)
        kth = np.full(n_rows, -np.inf)
        kth[cut] = np.take_along_axis(ordered, places[:, None], axis=1)[:, 0]
        stays = (scores >= kth[:, None]) & (np.arange(width) < counts[:, None])
        rows = np.nonzero(stays)[0]
        ids, scores = _padded(ids[stays] + rows * n_vocab, stays.sum(axis=1), logits, tops)
    return ids, scores


def _padded(flat: Ids, counts: Ids, logits: Logits, tops: Logits) -> tuple[Ids, Probs]:
    """Places in the flat logits, `counts` of each row, as ids and scores of a row each."""
    n_vocab = logits.shape[1]
    filled = np.arange(int(counts.max())) < counts[:, None]
    ids: Ids = np.zeros(filled.shape, np.intp)
    rows = flat // n_vocab
    ids[filled] = flat - rows * n_vocab
    scores: Probs = np.full(filled.shape, -np.inf)
    scores[filled] = logits.reshape(-1)[flat].astype(np.float64) - tops[rows]
    return ids, scores


def _bound(params: SamplingParams, n_vocab: int) -> int:
    """The top-k of a row; 0 where min-p alone bounds it."""
    return params.top_k if 0 < params.top_k < n_vocab else 0


def _depth(chooser: Chooser, k: int) -> float:
    """How far below the largest logit a row's candidates may lie; `k` is its `_bound`."""
    if k:
        return chooser.depth
    params = chooser.params
    # Min-p keeps what is likelier than its share of the likeliest; a little more is compared.
    return float(-max(params.temperature, LEAST_TEMPERATURE) * np.log(params.min_p)) + 1e-3


def _adapt(choosers: Sequence[Chooser], counts: Ids, ks: Ids) -> None:
    """Guess deeper where candidates lacked, and less deep where many were in vain."""
    for chooser, count, k in zip(choosers, counts.tolist(), ks.tolist(), strict=True):
        if not k:
            continue
        if count <= k:
            chooser.depth = min(chooser.depth * 1.25, 1e6)
        elif count > 16 * k:
            chooser.depth = max(chooser.depth * 0.8, 1.0)


def _keep_first(probs: Probs, kept: Ids) -> None:
    """Keep the first probabilities of each row, and let them sum up to 1 again."""
    probs[np.arange(probs.shape[1]) >= kept[:, None]] = 0.0
    probs /= probs.sum(axis=1, keepdims=True)


def _column(values: Sequence[float]) -> NDArray[np.float64]:
    """A number for each row."""
    return np.array(values)[:, None]
