"""The cache: a shared prefix is reused, moved where the middle is forgotten, and never spoiled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from generated import GREEDY, cache, counts, kv_cache_of, tokens

from relay_gguf import LlamaEngine
from relay_gguf.engine import Finished, Prefilling


def test_a_prompt_twice_evaluates_one_token(pico_engine: LlamaEngine) -> None:
    prompt = list(range(100, 1400))
    first = list(pico_engine.generate(prompt, GREEDY))
    again = list(pico_engine.generate(prompt, GREEDY))

    assert counts(first) == (1300, 0)
    assert counts(again) == (1, 1299)
    assert tokens(first) == tokens(again)
    assert [s.done for s in first if isinstance(s, Prefilling)] == [512, 1024, 1299]


def test_only_what_differs_is_evaluated(pico_engine: LlamaEngine) -> None:
    head, tail = list(range(100, 400)), list(range(500, 520))
    list(pico_engine.generate([*head, 1, 2, 3], GREEDY))
    steps = list(pico_engine.generate([*head, *tail], GREEDY))
    assert counts(steps) == (20, 300)
    assert cache(pico_engine)[:320] == [*head, *tail]


@pytest.mark.parametrize("same", [0, 1, 29, 30, 31])
def test_any_shared_prefix(pico_engine: LlamaEngine, same: int) -> None:
    """Reusing a prefix gives the logits that a cold cache gives."""
    one, two = list(range(100, 130)), list(range(200, 240))
    two[:same] = (one + two)[:same]
    list(pico_engine.generate(one, replace(GREEDY, max_tokens=1)))
    list(pico_engine.generate(two, replace(GREEDY, max_tokens=1)))
    warm = pico_engine.logits()
    kv_cache_of(pico_engine).past.clear()
    list(pico_engine.generate(two, replace(GREEDY, max_tokens=1)))

    assert np.abs(warm - pico_engine.logits()).max() < 1e-3


@pytest.mark.thorough
def test_moved_cache_is_close_to_a_fresh_one(smollm2_engine: LlamaEngine) -> None:
    engine = smollm2_engine
    text = "We left the harbour at dawn. The sea was calm and nobody said a word about it. "
    prompt = engine.tokenize(text * 12)
    one = replace(GREEDY, max_tokens=1)
    list(engine.generate(prompt, one))
    start, stop = len(prompt) // 6, len(prompt) // 2

    assert engine.forget(prompt, start, stop)

    assert cache(engine) == prompt[:start] + prompt[stop:]
    rest = [*prompt[:start], *prompt[stop:], *engine.tokenize(" Then the captain")]
    steps = list(engine.generate(rest, one))
    assert counts(steps)[0] == len(rest) - len(prompt[:start] + prompt[stop:])
    moved = engine.logits()
    kv_cache_of(engine).past.clear()
    list(engine.generate(rest, one))
    fresh = engine.logits()
    assert np.corrcoef(moved, fresh)[0, 1] > 0.97


def test_forgetting_what_the_cache_does_not_hold(pico_engine: LlamaEngine) -> None:
    list(pico_engine.generate([5, 6, 7, 8], GREEDY))
    assert not pico_engine.forget([5, 6, 9, 9], 1, 3)
    assert not pico_engine.forget([5] * 50, 1, 40)


def test_cancelling_a_shift_does_not_spoil_the_cache(pico_engine: LlamaEngine) -> None:
    """llama.cpp moves keys within the next evaluation, and does not notice that it was stopped."""
    engine, one = pico_engine, replace(GREEDY, max_tokens=1)
    prompt = list(range(100, 400))
    kept = [*prompt[:50], *prompt[120:]]
    list(engine.generate(prompt, one))
    assert engine.forget(prompt, 50, 120)
    kv_cache_of(engine)._shifting = True
    engine.cancel()  # the flag is seen before the first node of the graph
    stopped = list(engine.generate([*kept, 7, 8, 9], one))
    assert isinstance(stopped[-1], Finished)
    assert stopped[-1].reason == "cancelled"
    list(engine.generate([*kept, 7], one))
    after = engine.logits()
    kv_cache_of(engine).past.clear()
    list(engine.generate([*kept, 7], one))
    assert np.corrcoef(after, engine.logits())[0, 1] > 0.5
