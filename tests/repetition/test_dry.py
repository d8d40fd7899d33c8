"""DRY takes off what llama.cpp's own sampler takes off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from llama_samplers import applied, dry_sampler

from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.draw.breakers import Breakers
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.llama.native import lib
from relay_gguf.repetition.dry import LARGEST, dry_penalties
from relay_gguf.sampling import SamplingParams, distribution

NAMES = ("multiplier", "base", "allowed_length", "last_n")
SETTINGS = [(0.8, 1.75, 2, 64), (2.0, 1.1, 1, 400), (50.0, 4.0, 3, 400), (1.0, 1.0, 0, 400)]


@pytest.fixture(scope="module")
def engine(pico: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(pico, LoadOptions(n_ctx=256), n_threads=1) as loaded:
        yield loaded


def histories(breakers: frozenset[int]) -> list[list[int]]:
    """Ones of few different tokens, which repeat themselves a lot, and one that only does that."""
    rng = random.Random(4)
    ends = sorted(breakers)[:3]
    found = [[1000, 1001] * 100, [1000] * 300, [1000, 1001], [1000] * 3]
    for n_words in (2, 3, 5, 20):
        for share in (0.0, 0.05, 0.3):
            words = range(1000, 1000 + n_words)
            found += [
                [rng.choice(ends if rng.random() < share else words) for _ in range(250)]
                for _ in range(2)
            ]
    return found


def test_penalties_are_llama_cpps(engine: LlamaEngine) -> None:
    vocab = engine._model.vocab
    ids = range(1020)
    breakers = frozenset(t for t in ids if b"\n" in engine.piece(t))
    zeros = np.zeros(1020, np.float32)
    assert breakers
    for settings in SETTINGS:
        sampler, n_penalized = dry_sampler(vocab, [b"\n"], *settings), 0
        for history in histories(breakers):
            theirs = {t: -v for t, v in applied(zeros, history, sampler).items() if v}
            ours = dry_penalties(history, breakers, **dict(zip(NAMES, settings, strict=True)))
            mine = {} if ours is None else dict(zip(ours.ids, ours.amounts, strict=True))
            for token, amount in theirs.items():
                theirs[token] = min(amount, LARGEST)
            assert mine == pytest.approx(theirs, rel=1e-5), history
            n_penalized += len(mine)
        assert n_penalized > 20
        lib.llama_sampler_free(sampler)


@pytest.mark.parametrize(
    ("history", "penalized"),
    [
        ([1, 2, 3, 1, 2], {3: 1.0}),  # two tokens are allowed: what makes it three costs 1
        ([1, 2, 3, 4, 1, 2, 3], {4: 2.0}),  # each one more doubles it
        ([9, 1, 2, 3, 4, 9, 1, 2, 3], {4: 4.0}),
        ([1, 2, 5, 1, 2, 6, 1, 2], {5: 1.0, 6: 1.0}),  # either would
        ([0, 1, 2, 5, 1, 2, 5, 0, 1, 2], {5: 2.0}),  # the longest counts
        ([7, 7, 7, 7], {7: 2.0}),  # three sevens end where four do
        ([2, 3, 1, 3], {}),  # one token alone is no repetition
        ([1, 8, 2, 3, 1, 8, 2], {}),  # 8 breaks it: one token is left
        ([1, 2, 8, 3, 1, 2], {}),  # and is never made less likely
        ([], {}),
    ],
)
def test_what_it_costs_by_hand(history: list[int], penalized: dict[int, float]) -> None:
    found = dry_penalties(history, frozenset({8}), multiplier=1.0, base=2.0)
    mine = {} if found is None else dict(zip(found.ids.tolist(), found.amounts, strict=True))
    assert mine == penalized


def test_all_of_the_context_is_looked_at_by_default() -> None:
    history = [1, 2, 3, *range(100, 200), 1, 2]
    penalties = dry_penalties(history, frozenset(), multiplier=0.5)
    assert penalties is not None
    assert (penalties.ids.tolist(), penalties.amounts.tolist()) == ([3], [0.5])
    assert dry_penalties(history, frozenset(), multiplier=0.5, last_n=50) is None
    assert dry_penalties(history, frozenset({2}), multiplier=0.5) is None
    assert dry_penalties(history, frozenset({3}), multiplier=0.5) is None


def test_the_distribution_is_penalized_and_put_back() -> None:
    logits = np.array([1.0, 3.0, 2.0, 0.0], np.float32)
    params = SamplingParams(temperature=1.0, top_p=1.0, min_p=0.0, repeat_penalty=2.0)
    dry = dry_penalties([1, 2, 1], frozenset(), multiplier=1.0, allowed_length=1)
    ids, probs = distribution(logits, np.array([1, 2]), params, dry)
    weights = np.exp([1.0, 1.5, 2.0 / 2 - 1.0, 0.0])
    assert dict(zip(ids.tolist(), probs, strict=True)) == pytest.approx(
        dict(enumerate(weights / weights.sum()))
    )
    assert logits.tolist() == [1.0, 3.0, 2.0, 0.0]


def test_control_tokens_and_line_ends_are_breakers(engine: LlamaEngine) -> None:
    model = engine._model
    found = Breakers(model.vocab)()
    assert {model.control.im_start, model.control.im_end} < found
    assert set(engine.tokenize("\n")) < found
    assert not found & set(engine.tokenize("a sea of words"))
    assert all(
        b"\n" in engine.piece(t) or lib.llama_vocab_is_control(model.vocab, t) for t in found
    )
