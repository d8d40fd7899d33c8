"""Many replies at once on real llama.cpp: the texts of a single engine, from any thread."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Finished, Prefilled, Step, Token
from relay_gguf.errors import EngineError, SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.llama.batch.schedule import ReadingShare
from relay_gguf.llama.native import lib

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREEDY = SamplingParams(temperature=0.0, max_tokens=16)
PROMPTS = [[1, *range(40, 40 + 9 * n, 1 + n)] for n in range(1, 8)]


POOL, APART = pytest.param(True, id="pool"), pytest.param(False, id="apart")
LONG_POOL, LONG_APART = (
    pytest.param(True, id="pool", marks=pytest.mark.thorough),
    pytest.param(False, id="apart", marks=pytest.mark.thorough),
)


@pytest.fixture(scope="module", params=[POOL, LONG_APART])
def batch_engine(pico: Path, request: pytest.FixtureRequest) -> Iterator[BatchEngine]:
    """An engine of each layout of the cache."""
    options = LoadOptions(n_ctx=256, n_slots=4, kv_unified=request.param)
    with BatchEngine(pico, options, n_threads=1) as engine:
        assert engine.plan.settings.kv_unified == request.param
        yield engine


def tokens(steps: Sequence[Step]) -> list[int]:
    return [step.id for step in steps if isinstance(step, Token)]


def reason(steps: Sequence[Step]) -> str:
    assert isinstance(steps[-1], Finished)
    return steps[-1].reason


def at_once(engine: BatchEngine, prompts: Sequence[list[int]], params: SamplingParams) -> list[Any]:
    """The steps of replies to all prompts, each asked for by a thread."""
    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(lambda prompt: list(engine.generate(prompt, params)), prompts))


def test_each_slots_distribution_is_that_of_a_single_engine(
    batch_engine: BatchEngine, pico_engine: LlamaEngine
) -> None:
    """Whatever the neighbours do: only the rounding differs, by where its cells lie."""
    slots, rng = batch_engine._slots, random.Random(3)
    evaluator = slots._evaluator
    shown: list[tuple[list[int], NDArray[np.float32]]] = []
    evaluate, rows = evaluator.evaluate, evaluator.rows
    seqs: list[int] = []

    def watched(ids: Any, positions: Any, places: list[int], n_rows: int) -> int:
        seqs[:] = places[:n_rows]
        return evaluate(ids, positions, places, n_rows)

    def copied(n_rows: int) -> Any:
        found = rows(n_rows)
        shown.extend((list(slots._seated[s].ids), found[i].copy()) for i, s in enumerate(seqs))
        return found

    evaluator.evaluate, evaluator.rows = watched, copied  # type: ignore[method-assign]
    try:
        handles = []
        for step in range(60):
            if step % 3 == 0:
                prompt = (*range(2000, 2040), *rng.choices(range(1000, 2000), k=step + 1))
                handles.append(slots.submit(Continuation(prompt, SamplingParams(seed=step))))
            if step % 7 == 0:
                slots.cancel(rng.choice(handles))
            slots.step()
    finally:
        evaluator.evaluate, evaluator.rows = evaluate, rows  # type: ignore[method-assign]
        slots.cancel_all()

    for ids, row in rng.sample(shown, 12):
        list(pico_engine.generate(ids, SamplingParams(max_tokens=1)))
        assert divergence(pico_engine.logits(), row) < 0.01


def divergence(logits: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Of two distributions, in nats."""
    p, q = (np.exp(one.astype(np.float64) - one.max()) for one in (logits, others))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-30))).sum())


@pytest.mark.thorough
@pytest.mark.parametrize("unified", [POOL, APART])
def test_greedy_in_f16_is_the_text_of_a_single_engine(smollm2_f16: Path, *, unified: bool) -> None:
    said, greedy = ["The sea is", "Once upon a time", "Cats are"], replace(GREEDY, max_tokens=8)
    with LlamaEngine(smollm2_f16, LoadOptions(n_ctx=256)) as single:
        prompts = [single.tokenize(text) for text in said]
        alone = [tokens(list(single.generate(prompt, greedy))) for prompt in prompts]
    options = LoadOptions(n_ctx=256, n_slots=3, kv_unified=unified)
    with BatchEngine(smollm2_f16, options) as engine:
        assert [tokens(steps) for steps in at_once(engine, prompts, greedy)] == alone


def test_more_replies_than_slots_come_from_as_many_threads(batch_engine: BatchEngine) -> None:
    found = at_once(batch_engine, PROMPTS, GREEDY)

    for steps, prompt in zip(found, PROMPTS, strict=True):
        (read,) = [step for step in steps if isinstance(step, Prefilled)]
        assert read.evaluated + read.reused == len(prompt)
        assert 1 <= len(tokens(steps)) <= 16
        assert reason(steps) in ("length", "stop")


def test_steps_are_those_of_a_single_engine(batch_engine: BatchEngine) -> None:
    prompt = list(range(500, 560))
    first = list(batch_engine.generate(prompt, GREEDY))
    again = list(batch_engine.generate([*prompt, *tokens(first), 7], GREEDY))

    (read,) = [step for step in first if isinstance(step, Prefilled)]
    assert (read.evaluated, read.reused) == (60, 0)
    (read,) = [step for step in again if isinstance(step, Prefilled)]
    assert read.reused >= 60 + 15
    assert reason(first) in ("length", "stop")


def test_closing_an_iterator_cancels_that_reply_alone(batch_engine: BatchEngine) -> None:
    params = SamplingParams(temperature=0.0, max_tokens=100, repeat_penalty=1.0)
    other = threading.Thread(target=lambda: kept.extend(batch_engine.generate([1, 70], params)))
    kept: list[Step] = []
    steps = batch_engine.generate([1, 60, 61], params)
    while not isinstance(next(steps), Token):
        pass
    other.start()
    steps.close()  # type: ignore[attr-defined]
    other.join()

    assert reason(kept) in ("length", "stop")
    assert batch_engine._slots.n_live == 0


def test_cancel_ends_all(batch_engine: BatchEngine) -> None:
    params = SamplingParams(temperature=0.0, max_tokens=200)
    running = [batch_engine.generate([1, own], params) for own in (50, 60)]
    for steps in running:
        while not isinstance(next(steps), Token):
            pass
    batch_engine.cancel()
    ends = [list(steps)[-1] for steps in running]

    assert {end.reason for end in ends if isinstance(end, Finished)} <= {"cancelled", "stop"}
    assert list(batch_engine.generate([1, 50], GREEDY))[-1] != ends[0]  # only those in flight


def test_a_prompt_that_does_not_fit_fails_alone(batch_engine: BatchEngine) -> None:
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(lambda: list(batch_engine.generate([1, 2, 3], GREEDY)))
        bad = pool.submit(lambda: list(batch_engine.generate([1] * 256, GREEDY)))
        with pytest.raises(EngineError, match="256 tokens, but n_ctx is 256"):
            bad.result()
        assert reason(good.result()) in ("length", "stop")


def test_dry_reaches_both_engines(batch_engine: BatchEngine, pico_engine: LlamaEngine) -> None:
    """What followed the same words before does not follow them again, nor after a line end."""
    plain = SamplingParams(temperature=0.0, repeat_penalty=1.0, max_tokens=1)
    words = pico_engine.tokenize("one two three")
    (usual,) = tokens(list(pico_engine.generate([*words, *words], plain)))
    ends_a_line = [*words, *pico_engine.tokenize("\n")]
    (after_it,) = tokens(list(pico_engine.generate([*ends_a_line, *ends_a_line], plain)))
    for engine in (batch_engine, pico_engine):
        for begun, follows, breaks in ((words, usual, False), (ends_a_line, after_it, True)):
            for params in (plain, replace(plain, dry_multiplier=50.0)):
                (said,) = tokens(list(engine.generate([*begun, follows, *begun], params)))
                assert (said == follows) == (breaks or params is plain)


def test_a_small_pool_of_cells_is_enough(pico: Path) -> None:
    """llama.cpp counts its cells as we do: it never refuses, and nobody fails."""
    options = LoadOptions(n_ctx=256, n_slots=4, n_cells=256)
    with BatchEngine(pico, options, n_threads=1) as engine:
        evaluator = engine._slots._evaluator
        statuses, evaluate = [], evaluator.evaluate

        def watched(*arguments: Any) -> int:
            statuses.append(evaluate(*arguments))
            return statuses[-1]

        evaluator.evaluate = watched  # type: ignore[method-assign]
        prompts = [[1, *[100 + own] * 90] for own in range(6)]
        found = at_once(engine, prompts, SamplingParams(seed=1, max_tokens=60, temperature=2.0))

    assert set(statuses) == {0}
    assert {reason(steps) for steps in found} <= {"length", "stop"}


@pytest.mark.parametrize("unified", [POOL, LONG_APART])
def test_a_shared_beginning_is_evaluated_once(pico: Path, *, unified: bool) -> None:
    """Apart it is copied; each says what it would say alone."""
    options = LoadOptions(n_ctx=512, n_slots=4, kv_unified=unified)
    with BatchEngine(pico, options, n_threads=1) as engine:
        prefix = list(range(1000, 1200))
        slots = engine._slots
        prompts = [[*prefix, 50 + own] for own in range(4)]
        for prompt in prompts:
            slots.submit(Continuation(tuple(prompt), GREEDY))
        said: dict[int, list[Step]] = defaultdict(list)
        while slots.n_live:
            for event in slots.step():
                said[event.handle].append(event.step)
        positions = [int(lib.llama_memory_seq_pos_max(engine._model.memory, n)) for n in range(4)]
        used = engine._slots.cells.n_cells - engine._slots.cells.free

        alone = [tokens(list(engine.generate(prompt, GREEDY))) for prompt in prompts]

    found = [read.evaluated for steps in said.values() for read in _prefilled(steps)]
    assert found == [201, 1, 1, 1]
    assert [tokens(steps) for steps in said.values()] == alone
    assert min(positions) >= 200
    assert used <= (200 if unified else 800) + 4 * 17


def test_closing_the_engine_ends_its_replies(pico: Path) -> None:
    engine = BatchEngine(pico, LoadOptions(n_ctx=256, n_slots=2), n_threads=1)
    steps = engine.generate([1, 2, 3], SamplingParams(temperature=0.0, max_tokens=200))
    next(steps)
    engine.close()

    assert reason(list(steps)) in ("cancelled", "stop")
    with pytest.raises(EngineError, match="closed"):
        list(engine.generate([1, 2], GREEDY))


@pytest.mark.parametrize("n_slots", [0, 257])
def test_how_many_slots_there_are_has_bounds(n_slots: int) -> None:
    with pytest.raises(SettingsError, match=f"n_slots is {n_slots}; it must be 1 to 256"):
        LoadOptions(n_slots=n_slots)


def test_256_slots_are_loaded(pico: Path) -> None:
    options = LoadOptions(n_ctx=256, n_slots=256, n_cells=1024)
    with BatchEngine(pico, options, n_threads=1) as engine:
        assert engine.n_slots == 256
        assert tokens(list(engine.generate([1, 2, 3], GREEDY)))


def test_a_full_context_moves_up_as_with_a_single_engine(
    batch_engine: BatchEngine, pico_engine: LlamaEngine
) -> None:
    """While another reply runs: nobody waits for it to end."""
    prompt = list(range(700, 800))
    trimmed = [*prompt[:10], *prompt[60:], 5]
    found = []
    other = batch_engine.seat().generate([3, 4], SamplingParams(temperature=1.5, max_tokens=200))
    next(step for step in other if isinstance(step, Token))
    for engine in (batch_engine, pico_engine):
        list(engine.generate(prompt, SamplingParams(temperature=0.0, max_tokens=1)))
        assert engine.forget(prompt[:60], 10, 60)
        found.append(list(engine.generate(trimmed, GREEDY)))
    other.close()  # type: ignore[attr-defined]
    assert [prefilled.reused for (prefilled,) in map(_prefilled, found)] == [50, 50]
    assert tokens(found[0]) == tokens(found[1])


def _prefilled(steps: Sequence[Step]) -> list[Prefilled]:
    return [step for step in steps if isinstance(step, Prefilled)]


@pytest.mark.parametrize("unified", [LONG_POOL, APART])
def test_conversations_go_on_from_the_disk(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unified: bool
) -> None:
    """Of each only what is new is read, and it says what it would have said; by any engine.

    Apart two have a slot and the third waits in RAM; the files are those of any other layout.
    """
    monkeypatch.setattr(ReadingShare, "best_rate", 10.0)  # slower than any disk
    pool = LoadOptions(n_ctx=512, n_slots=4, n_cells=1024)
    options = pool if unified else LoadOptions(n_ctx=512, n_slots=2, kv_unified=False)
    prompts = [list(range(first, first + 300)) for first in (500, 900, 1300)]
    longer = [[*prompt, 7, 8] for prompt in prompts]
    room = 1 << 26
    with BatchEngine(pico, options, n_threads=1, scene_room=room, contexts=tmp_path) as engine:
        for prompt in prompts:
            list(engine.generate(prompt, SamplingParams(max_tokens=1)))
        expected = [tokens(list(engine.generate(prompt, GREEDY))) for prompt in longer]
    assert len(list(tmp_path.iterdir())) == 3
    for other in (options, pool if not unified else replace(options, n_slots=3, n_cells=None)):
        with BatchEngine(pico, other, n_threads=1, contexts=tmp_path) as engine:
            found = [list(engine.generate(prompt, GREEDY)) for prompt in longer]
        assert [tokens(steps) for steps in found] == expected
        assert [p.evaluated for steps in found for p in _prefilled(steps)] == [1, 1, 1]
    with LlamaEngine(pico, LoadOptions(n_ctx=512), n_threads=1, contexts=tmp_path) as single:
        assert tokens(list(single.generate(longer[0], GREEDY))) == expected[0]
