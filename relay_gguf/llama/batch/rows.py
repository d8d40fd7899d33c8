"""Sampling many rows of logits at once, each as `sampling.distribution` and `pick` do it alone.

The steps and their order are the same; each is done for all rows by one call of numpy. A row that
keeps its whole vocabulary (no top-k, and no min-p that would bound it) goes through `distribution`:
sorting 49,152 numbers takes so long that the calls do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.llama.draw.chooser import Chooser
from relay_gguf.sampling import (
    LEAST_TEMPERATURE,
    SamplingParams,
    check_top,
    distribution,
    penalized,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.repetition.dry import Penalties
    from relay_gguf.sampling import Ids, Logits, Probs


FEW: Final = 12
"""Rows that are sampled sooner one after the other."""
FOLDS: Final = 16
"""Logits of which only the largest is looked at first, ..."""
FOLDED: Final = 4
"""... and of these so many, to find a bound."""
LEAST_GROUPS: Final = 512
"""Such groups of a row at least, for a top-k that is usual."""
SLACK: Final = 1e-3
"""Logits below the bound of min-p that are still compared exactly."""


def next_tokens(logits: Logits, choosers: Sequence[Chooser]) -> list[int]:
    """The next token of each row of `logits`, (n_rows, n_vocab), which are changed.

    Raises:
        EngineError: a row holds a NaN, or no finite value at all.
    """
    scored = [row for row, one in enumerate(choosers) if one.scored is not None]
    given: Logits = logits[scored]  # a copy: the others are changed
    for row, chooser in zip(logits, choosers, strict=True):
        if chooser.look is not None:
            chooser.look(row)
    tokens = _choose(logits, choosers)
    if scored:
        found = _logprobs(given, [tokens[row] for row in scored])
        for row, logprob in zip(scored, found, strict=True):
            tell = choosers[row].scored
            assert tell is not None
            tell(logprob)
    return tokens


def _choose(logits: Logits, choosers: Sequence[Chooser]) -> list[int]:
    """The next token of each row, whatever is told about it."""
    penalties = [chooser.dry() for chooser in choosers]
    if len(choosers) > FEW or not all(one.is_quick for one in choosers):
        return _together(logits, choosers, penalties)
    each = zip(logits, choosers, penalties, strict=True)
    tokens = [chooser.quick(row, dry) for row, chooser, dry in each]
    left = [row for row, token in enumerate(tokens) if token is None]
    if left:
        some = _together(
            logits[left], [choosers[row] for row in left], [penalties[row] for row in left]
        )
        for row, token in zip(left, some, strict=True):
            tokens[row] = token
    return [token for token in tokens if token is not None]


def _together(
    logits: Logits, choosers: Sequence[Chooser], penalties: Sequence[Penalties | None]
) -> list[int]:
    """The next token of each row, by a few calls for all of them; changes the logits."""
    if len(choosers) == 1 and not _is_bounded(choosers[0].params):
        return [choosers[0].slow(logits[0], penalties[0])]
    _penalize(logits, choosers)
    for row, dry in zip(logits, penalties, strict=True):
        if dry is not None:
            row[dry.ids] -= dry.amounts
    fine = _maxima(logits, FOLDS)
    maxima = _maxima(fine, FOLDED)
    tops: Logits = maxima.max(axis=1)  # a NaN, if a row has one
    for top in tops[~np.isfinite(tops)]:
        check_top(float(top))
    tokens = [0] * len(choosers)
    drawn: list[int] = []
    for row, chooser in enumerate(choosers):
        if chooser.params.temperature == 0:
            tokens[row] = int(logits[row].argmax())
        elif _is_wide(chooser.params, logits.shape[1], maxima.shape[1]):
            tokens[row] = _alone(logits[row], chooser)
        else:
            drawn.append(row)
    if len(drawn) == len(choosers):
        return _draw(logits, fine, maxima, tops, choosers)
    if drawn:
        they = [choosers[row] for row in drawn]
        some = _draw(logits[drawn], fine[drawn], maxima[drawn], tops[drawn], they)
        for row, token in zip(drawn, some, strict=True):
            tokens[row] = token
    return tokens


def _draw(
    logits: Logits,
    fine: Logits,
    maxima: Logits,
    tops: Logits,
    choosers: Sequence[Chooser],
) -> list[int]:
    """A token for each row, by top-k, top-p and min-p.

    `fine` and `maxima` are the largest logits of small and of larger groups of each row.
    """
    n_vocab = logits.shape[1]
    params = [chooser.params for chooser in choosers]
    temperature = np.array([max(p.temperature, LEAST_TEMPERATURE) for p in params])
    top_k = np.array([p.top_k if p.top_k < n_vocab else 0 for p in params])
    top_p = np.array([p.top_p for p in params])
    min_p = np.array([p.min_p for p in params])

    bounds = _kth(maxima, top_k)
    if not top_k.all():  # min-p keeps what is likelier than its share of the likeliest
        with np.errstate(divide="ignore"):
            reach = tops + temperature * np.log(min_p) - SLACK
        bounds = np.where(top_k > 0, bounds, reach.astype(np.float32))
    ids, scores = _rows_of(_above(logits, fine, bounds), logits, tops)
    here, most = np.arange(len(params)), scores.shape[1]
    order = (-scores).argsort(axis=1, kind="stable")  # equal ones in the order of their ids
    scores = scores[here[:, None], order]
    last = np.where((top_k > 0) & (top_k < most), top_k, most) - 1
    scores[scores < scores[here, last][:, None]] = -np.inf
    probs: Probs = np.exp(scores / temperature[:, None])
    probs /= probs.sum(axis=1, keepdims=True)
    if top_p.min() < 1.0:
        # The least likely tokens go while together they weigh no more than 1 - top_p.
        gone = (probs[:, ::-1].cumsum(axis=1) <= (1.0 - top_p)[:, None]).sum(axis=1)
        _keep_first(probs, np.where(top_p < 1.0, np.maximum(1, most - gone), most))
    if min_p.any():
        _keep_first(probs, (probs >= min_p[:, None] * probs[:, :1]).sum(axis=1))
    n_kept = np.count_nonzero(probs, axis=1)
    for row, chooser in enumerate(choosers):
        if chooser.params.xtc_probability:
            first = chooser.n_excluded(probs[row, : n_kept[row]].tolist())
            probs[row, :first] = 0.0
            probs[row] /= probs[row].sum()
    draws = np.array([chooser.rng.random() for chooser in choosers])
    index = (probs.cumsum(axis=1) <= draws[:, None]).sum(axis=1)
    index = np.minimum(index, n_kept - 1)
    tokens: list[int] = ids[here, order[here, index]].tolist()
    return tokens


def _logprobs(logits: Logits, tokens: Sequence[int]) -> list[float]:
    """The natural logarithm of one token's probability in each row of logits, (n_rows, n_vocab)."""
    tops = logits.max(axis=1, keepdims=True)
    logits -= tops
    drawn = logits[np.arange(len(tokens)), tokens].astype(np.float64)
    np.exp(logits, out=logits)
    found: list[float] = (drawn - np.log(logits.sum(axis=1, dtype=np.float64))).tolist()
    return found


def _maxima(values: Logits, most: int) -> Logits:
    """The largest of each of many groups of `most` values of a row: (n_rows, n_groups).

    A row is folded like a letter; a group is what lies upon another, which numpy compares fastest.
    """
    n_rows, size = values.shape
    n_folds = max(1, min(most, size // LEAST_GROUPS))
    n_groups = -(-size // n_folds)
    rest = size % n_groups
    folds = values[:, : size - rest].reshape(n_rows, -1, n_groups)
    maxima: Logits = folds.max(axis=1)
    if rest:
        part = maxima[:, :rest]
        np.maximum(part, values[:, size - rest :], out=part)
    return maxima


def _above(logits: Logits, maxima: Logits, bounds: Logits) -> Ids:
    """The places in the flat logits that reach the bound of their row, in ascending order.

    Only groups whose largest value does are looked at.
    """
    n_vocab, n_groups = logits.shape[1], maxima.shape[1]
    hot = (maxima >= bounds[:, None]).reshape(-1).nonzero()[0]  # in two dimensions it is slow
    rows, groups = hot // n_groups, hot % n_groups
    ids = groups[:, None] + np.arange(0, n_vocab, n_groups)
    inside = ids < n_vocab
    places = rows[:, None] * n_vocab + np.where(inside, ids, 0)
    reaches = (logits.reshape(-1)[places] >= bounds[rows, None]) & inside
    found: Ids = places[reaches]
    found.sort()
    return found


def _kth(maxima: Logits, top_k: NDArray[np.intp]) -> Logits:
    """The `top_k`-th largest maximum of each row; its `top_k` largest logits are no smaller."""
    places = maxima.shape[1] - np.maximum(top_k, 1)
    ordered = np.partition(maxima, sorted(set(places.tolist())), axis=1)
    kth: Logits = ordered[np.arange(top_k.size), places]
    return kth


def _rows_of(flat: Ids, logits: Logits, tops: Logits) -> tuple[Ids, Probs]:
    """Ids of each row, and how far below the top their logits are, from places in the flat logits.

    Both are (n_rows, most); a row with fewer ends in ids of 0 and scores of -inf.
    """
    n_rows, n_vocab = logits.shape
    row = flat // n_vocab
    counts = np.bincount(row, minlength=n_rows)
    filled = np.arange(int(counts.max())) < counts[:, None]
    ids: Ids = np.zeros(filled.shape, np.intp)
    ids[filled] = flat - row * n_vocab
    scores: Probs = np.full(filled.shape, -np.inf)
    scores[filled] = logits.reshape(-1)[flat].astype(np.float64) - tops[row]
    return ids, scores


def _penalize(logits: Logits, choosers: Sequence[Chooser]) -> None:
    """Make the tokens that a row's context has seen less likely, in place."""
    some = [row for row, one in enumerate(choosers) if one.params.repeat_penalty != 1.0]
    if not some:
        return
    n_vocab = logits.shape[1]
    seen = [choosers[row].seen.ids for row in some]
    sizes = [ids.size for ids in seen]
    flat = logits.reshape(-1)
    places = np.concatenate(seen) + np.repeat([row * n_vocab for row in some], sizes)
    each = [choosers[row].params.repeat_penalty for row in some]
    same = each.count(each[0]) == len(each)
    # float32, as the logits times a number of Python's are
    factor = each[0] if same else np.repeat(np.array(each, np.float32), sizes)
    flat[places] = penalized(flat[places], factor)


def _is_wide(params: SamplingParams, n_vocab: int, n_groups: int) -> bool:
    """Whether a row may keep so much of its vocabulary that it is sampled alone."""
    if 0 < params.top_k < n_vocab:
        return params.top_k > n_groups
    return params.min_p <= 0.0 or params.top_p < 1.0


def _is_bounded(params: SamplingParams) -> bool:
    """Whether min-p alone bounds a row: `distribution` would sort its whole vocabulary first."""
    return not params.top_k and params.min_p > 0.0 and params.top_p >= 1.0


def _alone(penalized_row: Logits, chooser: Chooser) -> int:
    nothing = np.empty(0, np.intp)
    return chooser.draw(*distribution(penalized_row, nothing, chooser.params))


def _keep_first(probs: Probs, kept: NDArray[np.intp]) -> None:
    """Keep the first probabilities of each row, and let them sum up to 1 again."""
    probs[np.arange(probs.shape[1]) >= kept[:, None]] = 0.0
    probs /= probs.sum(axis=1, keepdims=True)
