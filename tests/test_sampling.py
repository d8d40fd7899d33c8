"""Sampling against a restatement of transformers' processors, step by step as it writes them."""

from __future__ import annotations

import math
import random
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf import SamplingParams
from relay_gguf.errors import EngineError, SettingsError
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.sampling import Seen, distribution, largest, pick

Array = np.ndarray[Any, np.dtype[np.float64]]
NONE = np.array([], dtype=np.intp)


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max())
    probs: Array = weights / weights.sum()
    return probs


def transformers_probabilities(
    logits: Array, seen: AbstractSet[int], params: SamplingParams
) -> Array:
    """What `generate` of transformers draws from, over the whole vocabulary.

    RepetitionPenalty, Temperature, TopK, TopP and MinP LogitsWarper in the order of
    `_get_logits_processor`, each over all scores, filtered ones at minus infinity.
    """
    scores = logits.astype(np.float64)
    for token in seen:
        score = scores[token]
        scores[token] = (
            score * params.repeat_penalty if score < 0 else score / params.repeat_penalty
        )
    scores = scores / params.temperature
    if params.top_k:
        kth = np.sort(scores)[-min(params.top_k, scores.size)]
        scores = np.where(scores < kth, -np.inf, scores)
    if params.top_p < 1.0:
        ascending = np.argsort(scores, kind="stable")
        cumulative = np.cumsum(softmax(scores[ascending]))
        remove = cumulative <= 1 - params.top_p
        remove[-1] = False  # min_tokens_to_keep
        scores[ascending[remove]] = -np.inf
    if params.min_p:
        probs = softmax(scores)
        scores = np.where(probs < params.min_p * probs.max(), -np.inf, scores)
    return softmax(scores)


def spread(logits: Array, seen: AbstractSet[int], params: SamplingParams) -> Array:
    """Our distribution, over the whole vocabulary."""
    ids, probs = distribution(logits.astype(np.float32), Seen(seen, len(seen)).ids, params)
    full = np.zeros(logits.size)
    full[ids] = probs
    return full


PARAMS = [
    SamplingParams(),
    SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0),
    SamplingParams(temperature=1.5, top_k=200, top_p=0.9, min_p=0.0),
    SamplingParams(temperature=0.7, top_k=0, top_p=0.5, min_p=0.2, repeat_penalty=1.8),
    SamplingParams(temperature=5.0, top_k=7, top_p=0.99, min_p=0.01, repeat_penalty=0.8),
    SamplingParams(top_k=1),
    SamplingParams(top_p=0.0),
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_random_logits_are_sampled_as_transformers_does(params: SamplingParams, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = [5, 40, 41, 1000, 49152][seed % 5]
    logits = (rng.standard_normal(size) * rng.choice([0.1, 1, 4])).astype(np.float32)
    seen = set(rng.integers(0, size, size // 3).tolist())

    ours, theirs = spread(logits, seen, params), transformers_probabilities(logits, seen, params)

    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("params", PARAMS[:4], ids=str)
def test_real_logits_are_sampled_as_transformers_does(
    smollm2_engine: LlamaEngine, params: SamplingParams
) -> None:
    text = "The captain looked at the sea and said that the weather would be"
    prompt = smollm2_engine.tokenize(text)
    list(smollm2_engine.generate(prompt, replace(params, max_tokens=1, seed=0)))
    logits = smollm2_engine.logits().astype(np.float64)

    ours = spread(logits, set(prompt), params)

    assert np.abs(ours - transformers_probabilities(logits, set(prompt), params)).max() < 1e-5


@given(
    st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0]), min_size=1, max_size=60),
    st.integers(0, 70),
)
def test_largest_keeps_ties_like_top_k_does(values: list[float], k: int) -> None:
    scores = np.array(values, dtype=np.float32)
    kth = -math.inf if k == 0 else sorted(values)[-min(k, len(values))]

    kept = [i for i, value in enumerate(values) if value >= kth]
    assert largest(scores, k, top=max(values)).tolist() == kept


def test_largest_among_few_finite_scores() -> None:
    scores = np.array([-np.inf, 1.0, -np.inf, 0.5], dtype=np.float32)
    ids, probs = distribution(scores, NONE, SamplingParams(top_k=3, temperature=1.0))
    assert dict(zip(ids.tolist(), probs.round(3).tolist(), strict=True)) == {1: 0.622, 3: 0.378}


def test_temperature_zero_takes_the_likeliest_after_the_penalty() -> None:
    logits = np.array([1.0, 2.0, 1.95], dtype=np.float32)
    greedy = SamplingParams(temperature=0.0)
    assert distribution(logits, NONE, greedy)[0].tolist() == [1]
    assert distribution(logits, np.array([1]), greedy)[0].tolist() == [2]


def test_next_to_no_temperature_is_greedy() -> None:
    logits = np.array([1.0, 2.0, 1.95], dtype=np.float32)
    assert distribution(logits, NONE, SamplingParams(temperature=1e-310))[0].tolist() == [1]


def test_logits_are_left_as_they_were() -> None:
    logits = np.arange(100, dtype=np.float32)
    for params in PARAMS:
        distribution(logits, np.array([98, 99]), params)
        assert logits.tolist() == list(range(100))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_model_is_told(bad: float) -> None:
    logits = np.array([0.0, bad, 1.0], dtype=np.float32)
    with pytest.raises(EngineError, match="damaged"):
        distribution(logits, np.array([2]), SamplingParams())
    assert logits[2] == 1.0, "it was not put back"


def test_seen_ids_are_counted_once() -> None:
    seen = Seen([5, 3, 5], room=4)
    for token in (3, 9, 9, 0):
        seen.add(token)
    assert sorted(seen.ids.tolist()) == [0, 3, 5, 9]


def test_draws_follow_the_distribution() -> None:
    ids, probs = np.array([7, 3, 9]), np.array([0.5, 0.3, 0.2])
    rng = random.Random(1)
    draws = [pick(ids, probs, rng) for _ in range(20_000)]
    for token, share in zip((7, 3, 9), (0.5, 0.3, 0.2), strict=True):
        assert draws.count(token) / len(draws) == pytest.approx(share, abs=0.015)


def test_a_seed_gives_the_same_draws_on_every_machine() -> None:
    rng = random.Random(42)
    ids, probs = np.arange(10), np.full(10, 0.1)
    assert [pick(ids, probs, rng) for _ in range(10)] == [6, 0, 2, 2, 7, 6, 8, 0, 4, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature is -1; it must be 0 to 100."),
        ({"top_p": 1.5}, "top_p is 1.5; it must be 0 to 1."),
        ({"top_k": -1}, "top_k is -1; it must be 0 or more."),
        ({"top_k": 2**31}, "top_k is 2147483648; it must be 0 to 2147483647."),
        ({"seed": 2**32}, "seed is 4294967296; it must be 0 to 4294967295."),
        ({"max_tokens": 0}, "max_tokens is 0; it must be 1 or more."),
        ({"repeat_penalty": 0}, "repeat_penalty is 0; it must be 0.01 to 100."),
        ({"temperature": None}, "temperature is None; it must be a number."),
        ({"max_tokens": None}, "max_tokens is None; it must be a whole number."),
        ({"top_k": 2.5}, "top_k is 2.5; it must be a whole number."),
        ({"temperature": math.nan}, "temperature is nan; it must be 0 to 100."),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        SamplingParams(**values)
    assert str(error.value) == message
