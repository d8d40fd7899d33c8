"""The quick way to a token draws what the long way draws."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from relay_gguf.errors import EngineError
from relay_gguf.llama.draw.chooser import Chooser, kept
from relay_gguf.repetition.xtc import n_excluded
from relay_gguf.sampling import SamplingParams, Seen, distribution, pick

USUAL = SamplingParams()
GREEDY = SamplingParams(temperature=0.0)
PARAMS = (
    USUAL,
    GREEDY,
    replace(GREEDY, dry_multiplier=2.0),
    SamplingParams(temperature=1.0, repeat_penalty=1.0),
    SamplingParams(temperature=1.0, top_k=3, min_p=0.01),
    SamplingParams(temperature=2.0, top_k=0, top_p=0.5, min_p=0.1, repeat_penalty=1.5),
    SamplingParams(temperature=0.7, top_p=1.0, min_p=1.0),
    SamplingParams(temperature=1e-9, repeat_penalty=3.0),
    SamplingParams(temperature=1.0, repeat_penalty=0.8),
    SamplingParams(temperature=0.8, xtc_probability=0.7, xtc_threshold=0.05),
    SamplingParams(dry_multiplier=3.0, dry_allowed_length=1),
    SamplingParams(temperature=1.0, dry_multiplier=40.0, xtc_probability=0.5, top_p=0.9),
)


def long_way(chooser: Chooser, logits: np.ndarray) -> int:
    """As before there was a quick one, but for XTC."""
    params = chooser.params
    ids, probs = distribution(logits, chooser.seen.ids, params, chooser.dry())
    first = n_excluded(
        probs.tolist(),
        chooser.rng,
        probability=params.xtc_probability,
        threshold=params.xtc_threshold,
    )
    return pick(ids[first:], probs[first:] / probs[first:].sum(), chooser.rng)


def choosers(params: SamplingParams, history: list[int]) -> tuple[Chooser, Chooser]:
    one, other = (
        Chooser(params, random.Random(5), Seen(history, 1000), list(history), frozenset({7}))
        for _ in range(2)
    )
    return one, other


@pytest.mark.parametrize("kind", ["usual", "sharp", "negative", "ties", "masked"])
@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_the_same_tokens_are_drawn(params: SamplingParams, kind: str) -> None:
    rng = np.random.default_rng(1)
    history = rng.integers(0, 60, 100).tolist()
    quick, slow = choosers(params, history)
    for _ in range(12):
        logits = rng.normal(0, 3, 700).astype(np.float32)
        logits[:60] += 6  # most of the likely ones were seen
        if kind == "sharp":
            logits *= 10
        elif kind == "negative":
            logits -= 40
        elif kind == "ties":
            logits = np.round(logits)
        elif kind == "masked":
            logits[rng.random(700) < 0.99] = -np.inf
            logits[3] = 1.0
        before = logits.copy()
        token = quick.choose(logits)
        assert token == long_way(slow, logits)
        assert np.array_equal(logits, before)
        for chooser in (quick, slow):
            chooser.seen.add(token)
            chooser.history.append(token)  # type: ignore[attr-defined]


@pytest.mark.parametrize("params", [USUAL, GREEDY], ids=["usual", "greedy"])
def test_the_quick_way_is_the_usual_one(params: SamplingParams) -> None:
    """Logits like a model's: a few tokens are likely, and each is less so than the one before."""
    rng = np.random.default_rng(1)
    chooser, slow = choosers(params, rng.integers(0, 49152, 500).tolist())
    n_slow = 0
    for _ in range(20):
        logits = rng.normal(0, 2, 49152).astype(np.float32)
        likely = rng.integers(0, 49152, 50)
        logits[likely] = 20.0 - 0.4 * np.arange(50) * rng.random(50)
        token = chooser.quick(logits, None)
        expected = long_way(slow, logits)
        n_slow += token is None
        assert token in (None, expected)
        chooser.rng.setstate(slow.rng.getstate())
    assert n_slow <= 2


def test_what_stays_does_not_depend_on_what_was_not_looked_at() -> None:
    """`kept` with a part of the tokens says what all of them say, or that it cannot know."""
    rng = np.random.default_rng(4)
    n_known = 0
    for _ in range(500):
        top_p, min_p = rng.choice([0.3, 0.8, 0.95, 1.0]), rng.choice([0.0, 0.05, 0.2])
        params = SamplingParams(top_k=30, top_p=float(top_p), min_p=float(min_p))
        weights = sorted(rng.random(30) ** rng.integers(1, 40), reverse=True)
        weights = [weight / weights[0] for weight in weights]
        n_seen = int(rng.integers(1, 30))
        found = kept(weights[:n_seen], weights[n_seen], params)
        gone = int(np.cumsum(weights[::-1]).searchsorted((1 - top_p) * sum(weights), side="right"))
        left = weights[: max(1, 30 - gone)] if top_p < 1.0 else weights
        if found:
            assert found == sum(1 for weight in left if weight >= min_p)
            n_known += 1
    assert n_known > 150


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonsense_is_refused(bad: float) -> None:
    logits = np.array([0.0, bad, 1.0], np.float32)
    with pytest.raises(EngineError, match="no usable number"):
        choosers(USUAL, [2])[0].choose(logits)
