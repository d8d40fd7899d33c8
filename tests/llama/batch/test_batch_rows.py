"""Sampling many rows at once draws what sampling each of them alone draws."""

from __future__ import annotations

import random
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relay_gguf.errors import EngineError
from relay_gguf.llama.batch.rows import FEW, next_tokens
from relay_gguf.llama.draw.chooser import Chooser
from relay_gguf.sampling import SamplingParams, Seen, distribution, pick

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

PARAMS = (
    SamplingParams(),
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=1.5, top_k=7, top_p=0.5, min_p=0.0),
    SamplingParams(temperature=0.9, top_k=0, top_p=1.0, min_p=0.05, repeat_penalty=1.0),
    SamplingParams(temperature=2.0, top_k=0, top_p=0.9, min_p=0.0, repeat_penalty=1.3),
    SamplingParams(temperature=5.0, top_k=400, top_p=1.0, min_p=0.0),
    SamplingParams(temperature=1e-9, top_k=1, top_p=0.0, min_p=1.0),
    SamplingParams(temperature=100.0, top_k=10_000, top_p=0.99, min_p=0.02, repeat_penalty=0.5),
)
AGAINST_LOOPS = (
    SamplingParams(temperature=1.0, dry_multiplier=2.0, dry_allowed_length=1),
    SamplingParams(temperature=0.0, repeat_penalty=1.0, dry_multiplier=9.0, dry_allowed_length=0),
    SamplingParams(temperature=1.5, top_k=0, top_p=1.0, xtc_probability=0.5, xtc_threshold=0.01),
    SamplingParams(temperature=3.0, top_p=0.9, min_p=0.0, dry_multiplier=1.0, xtc_probability=0.9),
)


def rows_of(kind: str, n_rows: int, n_vocab: int) -> Logits:
    rng = np.random.default_rng(n_rows)
    rows = rng.normal(0, 3, (n_rows, n_vocab))
    if kind == "sharp":
        rows *= 20
    elif kind == "ties":
        rows = np.round(rows)
    elif kind == "masked":
        rows[:, ::2] = -np.inf
    return rows.astype(np.float32)


def choosers(params: list[SamplingParams], n_vocab: int, seed: int) -> list[Chooser]:
    rng = random.Random(seed)
    seen = [[rng.randrange(n_vocab) for _ in range(rng.randrange(1, 60))] for _ in params]
    rngs = [random.Random(rng.getrandbits(32)) for _ in params]
    found = zip(params, rngs, seen, strict=True)
    return [Chooser(p, r, Seen(ids, 100), [*ids, *ids], frozenset({9})) for p, r, ids in found]


def alone(row: Logits, chooser: Chooser) -> int:
    ids, probs = distribution(row.copy(), chooser.seen.ids, chooser.params, chooser.dry())
    first = chooser.n_excluded(probs.tolist()) if chooser.params.xtc_probability else 0
    return pick(ids[first:], probs[first:] / probs[first:].sum(), chooser.rng)


@pytest.mark.parametrize("kind", ["usual", "sharp", "ties", "masked"])
@pytest.mark.parametrize("n_rows", [1, 3, 16, 40])
def test_rows_draw_what_each_draws_alone(kind: str, n_rows: int) -> None:
    """With the same generators, token for token, over many steps of mixed parameters."""
    params = list(islice(cycle((*PARAMS, *AGAINST_LOOPS)), n_rows))
    together, single = choosers(params, 997, 3), choosers(params, 997, 3)
    logits = rows_of(kind, n_rows, 997)
    for _ in range(8):
        logits = np.roll(logits, 131, axis=1)
        wanted = [alone(row, one) for row, one in zip(logits, single, strict=True)]
        assert next_tokens(logits.copy(), together) == wanted


@pytest.mark.parametrize("kind", ["usual", "sharp", "ties", "masked"])
def test_few_rows_draw_what_each_draws_alone(kind: str) -> None:
    """Each by itself, where its parameters leave few tokens; some rows have too many after all."""
    quick = [PARAMS[0], PARAMS[1], PARAMS[3], AGAINST_LOOPS[1], AGAINST_LOOPS[2]]
    params = [quick[i % len(quick)] for i in range(FEW)]
    together, single = choosers(params, 997, 5), choosers(params, 997, 5)
    assert all(one.is_quick for one in together)
    logits = rows_of(kind, FEW, 997)
    logits[0] = 0.0
    for _ in range(8):
        logits = np.roll(logits, 131, axis=1)
        wanted = [alone(row, one) for row, one in zip(logits, single, strict=True)]
        assert next_tokens(logits.copy(), together) == wanted


@pytest.mark.parametrize("params", PARAMS)
def test_a_slots_distribution_is_the_single_engines(params: SamplingParams) -> None:
    """The share of each token in many draws, beside its probability."""
    row = rows_of("usual", 1, 200)[0]
    n_draws = 1000
    rngs = random.Random(11)
    many = [
        Chooser(params, random.Random(rngs.getrandbits(32)), Seen([3, 4], 10))
        for _ in range(n_draws)
    ]
    drawn = np.bincount(next_tokens(np.tile(row, (n_draws, 1)), many), minlength=200) / n_draws

    ids, probs = distribution(row.copy(), np.array([3, 4]), params)
    expected = np.zeros(200)
    expected[ids] = probs
    assert not drawn[expected == 0].any()
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(0.25 / n_draws)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonsense_is_refused(bad: float) -> None:
    logits = rows_of("usual", 3, 100)
    logits[1, 7] = bad
    with pytest.raises(EngineError, match="no usable number"):
        next_tokens(logits, choosers([PARAMS[0]] * 3, 100, 1))


@pytest.mark.parametrize("n_rows", [1, 5])
def test_who_looks_at_a_row_may_change_it(n_rows: int) -> None:
    """And no other row; it is looked at before anything is done to it."""
    rows = rows_of("plain", n_rows, 500)
    expected = rows[0].copy()
    shown: list[Logits] = []

    def look(row: Logits) -> None:
        shown.append(row.copy())
        row[321] += 1000

    greedy = SamplingParams(temperature=0.0)
    each = choosers([greedy] * n_rows, 500, 1)
    alone = next_tokens(rows.copy(), each)
    each[0] = Chooser(greedy, each[0].rng, each[0].seen, look=look)
    drawn = next_tokens(rows, each)
    assert drawn == [321, *alone[1:]]
    assert (shown[0] == expected).all()
