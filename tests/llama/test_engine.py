"""A reply on real llama.cpp: its tokens, how it ends, and what is told while it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from generated import GREEDY, PATIENCE, cache, counts, tokens
from pico import write_pico

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Finished, Prefilled, Prefilling, Token
from relay_gguf.errors import EngineError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama import engine as llama
from relay_gguf.llama import generation, kv_cache
from relay_gguf.llama.prefill import PrefillPace


def test_the_same_seed_gives_the_same_tokens(pico_engine: LlamaEngine) -> None:
    prompt = list(range(100, 160))

    def draw(seed: int | None) -> list[int]:
        params = SamplingParams(temperature=1.0, top_k=0, seed=seed, max_tokens=20)
        return tokens(list(pico_engine.generate(prompt, params)))

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
    assert draw(None) != draw(None)


def test_the_penalty_is_not_left_in_the_logits(pico_engine: LlamaEngine) -> None:
    prompt = list(range(100, 160))
    seen = []
    for penalty in (1.0, 1.8):
        params = SamplingParams(repeat_penalty=penalty, max_tokens=1)
        list(pico_engine.generate(prompt, params))
        seen.append(pico_engine.logits())
    assert np.array_equal(*seen)


def test_no_c_call_between_a_token_and_the_next_evaluation(
    pico_engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gives Python's lock to the consumer, and the model waits until it comes back."""
    calls = []

    def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        return call

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            found = getattr(llama_cpp, name)
            is_c = isinstance(found, type(llama_cpp.llama_decode))
            return recorded(name, found) if is_c else found

    recorder = Recorder()
    monkeypatch.setattr(generation, "lib", recorder)
    monkeypatch.setattr(kv_cache, "lib", recorder)
    monkeypatch.setattr(generation, "Token", recorded("Token", Token))
    list(pico_engine.generate([5, 6, 7], GREEDY))

    after = [following for call, following in pairwise(calls) if call == "Token"]
    assert after == ["llama_decode"] * 23


def test_a_full_context_ends_a_reply(pico: Path) -> None:
    with LlamaEngine(pico, LoadOptions(n_ctx=256)) as engine:
        steps = list(engine.generate(list(range(100, 300)), replace(GREEDY, max_tokens=500)))
        assert len(tokens(steps)) == 57  # the last one is not evaluated any more
        assert isinstance(steps[-1], Finished)
        assert steps[-1].reason == "context"
        with pytest.raises(EngineError, match="The prompt has 256 tokens, but n_ctx is 256"):
            list(engine.generate(list(range(256)), GREEDY))


def test_cancel_while_the_prompt_is_read(smollm2_engine: LlamaEngine) -> None:
    prompt = list(range(1000, 4000))
    steps = smollm2_engine.generate(prompt, GREEDY)
    timer = threading.Timer(0.3, smollm2_engine.cancel)
    timer.start()
    done = list(steps)
    timer.join()

    assert done[-1] == Finished("cancelled", done[-1].seconds)  # type: ignore[union-attr]
    assert counts(done)[0] < 3000
    assert cache(smollm2_engine) == prompt[: counts(done)[0]]
    assert len(tokens(list(smollm2_engine.generate(prompt[:50], GREEDY)))) > 0


def test_a_reply_goes_on_after_a_cancel(pico_engine: LlamaEngine) -> None:
    prompt, params = list(range(100, 160)), replace(GREEDY, max_tokens=400)
    whole = tokens(list(pico_engine.generate(prompt, params)))
    head = []
    for step in pico_engine.generate(prompt, params):
        if isinstance(step, Token):
            head.append(step.id)
            pico_engine.cancel()
    assert len(head) < len(whole)
    assert cache(pico_engine) in ([*prompt, *head], [*prompt, *head[:-1]])

    rest = replace(params, max_tokens=400 - len(head))
    assert head + tokens(list(pico_engine.generate([*prompt, *head], rest))) == whole


def test_a_consumer_that_stops_listening_cancels(pico_engine: LlamaEngine) -> None:
    steps = pico_engine.generate(list(range(100, 200)), replace(GREEDY, max_tokens=3000))
    for step in steps:
        if isinstance(step, Token):
            break
    steps.close()  # type: ignore[attr-defined]
    assert len(cache(pico_engine)) < 3100
    assert len(tokens(list(pico_engine.generate([1, 2, 3], GREEDY)))) == 24


def test_two_threads_take_turns(pico_engine: LlamaEngine) -> None:
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        prompt = list(range(100 * number, 100 * number + 80))
        results[number] = tokens(list(pico_engine.generate(prompt, GREEDY)))

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in results.items():
        prompt = list(range(100 * number, 100 * number + 80))
        assert tokens(list(pico_engine.generate(prompt, GREEDY))) == result


def test_the_time_that_a_prompt_takes_is_guessed_between_two_chunks() -> None:
    pace = PrefillPace()
    assert pace.guess(0.0) is None, "nothing is evaluated"
    pace.begin(2000, now=10.0)
    assert pace.guess(10.5) == Prefilling(0, 2000, None), "how fast it is, nobody knows yet"
    assert pace.read(500, now=15.0) == Prefilling(500, 2000, 15.0)
    assert pace.guess(15.5) == Prefilling(550, 2000, 14.5)
    assert pace.guess(16.0) == Prefilling(600, 2000, 14.0)
    assert pace.guess(99.0) == Prefilling(1012, 2000, 9.88), "no further than the next chunk"
    pace.read(1900, now=29.0)
    assert pace.guess(40.0) == Prefilling(1999, 2000, 0.01), "not done before it is"
    assert pace.end() == 100.0
    assert pace.guess(31.0) is None
    again = PrefillPace(100.0)
    again.begin(50, now=0.0)
    assert again.guess(0.25) == Prefilling(25, 50, 0.25), "the prompt before told how fast it is"


def test_a_long_chunk_gives_signs_of_life(
    pico_engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk is cut for them: the reply is the same as without."""
    ticked = threading.Event()
    evaluate = kv_cache.KvCache.evaluate

    def slow(self: kv_cache.KvCache, ids: Sequence[int]) -> bool:
        ticked.wait(PATIENCE)
        return evaluate(self, ids)

    monkeypatch.setattr(llama, "TICK", 0.001)
    monkeypatch.setattr(kv_cache.KvCache, "evaluate", slow)
    steps = []
    for step in pico_engine.generate(list(range(40, 240)), replace(GREEDY, max_tokens=4)):
        steps.append(step)
        ticked.set()
    assert steps[0] == Prefilling(0, 200, None)
    assert [type(step) for step in steps].index(Prefilled) < len(steps) - 1
    monkeypatch.undo()
    assert tokens(steps) == tokens(
        list(pico_engine.generate(list(range(40, 240)), replace(GREEDY, max_tokens=4)))
    )


@pytest.mark.parametrize(("trained", "asked", "n_ctx"), [(128, None, 128), (300, 300, 300)])
def test_no_context_beyond_what_the_model_was_trained_on(
    smollm2: Path, tmp_path: Path, trained: int, asked: int | None, n_ctx: int
) -> None:
    path = write_pico(tmp_path / "p.gguf", smollm2, n_ctx_train=trained)
    with LlamaEngine(path, LoadOptions(n_ctx=asked)) as engine:
        assert engine.n_ctx == n_ctx
        steps = list(engine.generate(list(range(n_ctx - 5)), replace(GREEDY, max_tokens=99)))
        assert isinstance(steps[-1], Finished)
        assert (len(tokens(steps)), steps[-1].reason) == (6, "context")
