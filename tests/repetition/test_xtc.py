"""XTC leaves out what llama.cpp's own sampler leaves out."""

from __future__ import annotations

import random

import numpy as np
import pytest
from llama_samplers import applied

from relay_gguf.llama.draw.chooser import Chooser
from relay_gguf.llama.native import lib
from relay_gguf.repetition.xtc import n_excluded
from relay_gguf.sampling import SamplingParams, Seen


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.1, 0.3, 0.51])
def test_what_is_left_is_llama_cpps(threshold: float) -> None:
    rng = np.random.default_rng(2)
    counts = set()
    for scale in (0.1, 1.0, 2.0, 4.0) * 5:
        logits = rng.normal(0, scale, 40).astype(np.float32)
        logits[::-1].sort()
        logits[1] = logits[0] - 0.01
        weights = np.exp(logits.astype(np.float64))
        probs = (weights / weights.sum()).tolist()
        sampler = lib.llama_sampler_init_xtc(1.0, threshold, 0, 1)
        theirs = applied(logits, [], sampler)
        lib.llama_sampler_free(sampler)
        first = n_excluded(probs, random.Random(1), probability=1.0, threshold=threshold)
        assert list(theirs) == list(range(first, 40))
        counts.add(first)
    assert len(counts) > 1 or threshold > 0.5 or not threshold


@pytest.mark.parametrize(
    ("probs", "threshold", "gone"),
    [
        ([0.4, 0.3, 0.2, 0.1], 0.2, 2),  # the last that reaches it stays
        ([0.4, 0.3, 0.2, 0.1], 0.25, 1),
        ([0.4, 0.3, 0.2, 0.1], 0.35, 0),
        ([0.4, 0.3, 0.2, 0.1], 0.0, 3),
        ([0.5, 0.5], 0.5, 1),
        ([1.0], 0.1, 0),
    ],
)
def test_what_it_leaves_out_by_hand(probs: list[float], threshold: float, gone: int) -> None:
    assert n_excluded(probs, random.Random(1), probability=1.0, threshold=threshold) == gone


def test_it_draws_only_where_it_may_leave_something_out() -> None:
    for probs, probability, threshold in (
        ([0.5, 0.5], 0.0, 0.1),
        ([0.5, 0.5], 1.0, 0.6),
        ([1.0], 1.0, 0.1),
    ):
        rng = random.Random(1)
        assert n_excluded(probs, rng, probability=probability, threshold=threshold) == 0
        assert rng.random() == random.Random(1).random()


def test_it_happens_as_often_as_asked() -> None:
    """Of three likely tokens the two likeliest go, in the quick way and in the long one."""
    logits = np.array([5.0, 4.9, 4.8, 0.0, -1.0], np.float32)
    for min_p in (0.0, 0.05):  # without min-p there is only the long way
        params = SamplingParams(
            temperature=1.0, top_p=1.0, min_p=min_p, xtc_probability=0.5, seed=1
        )
        chooser = Chooser(params, random.Random(3), Seen([], 1))
        drawn = [chooser.choose(logits) for _ in range(2000)]
        assert drawn.count(2) / 2000 == pytest.approx(0.5 + 0.5 * 0.3, abs=0.06)
        assert 3 in drawn or min_p
