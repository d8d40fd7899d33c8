"""A cache of its own for each reply on real llama.cpp: gaps between streams, RAM, other states."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay_gguf import SamplingParams
from relay_gguf.engine import Prefilled, Token
from relay_gguf.fit.plan import GPU_UBATCH, LoadOptions
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.llama.batch.streams import FILLED, StreamSlots
from relay_gguf.llama.contexts.snapshots import Snapshot
from relay_gguf.llama.load import _warm_up
from relay_gguf.llama.native import lib

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay_gguf.engine import Step

GREEDY = SamplingParams(temperature=0.0, max_tokens=6)


@pytest.fixture(scope="module")
def apart(pico: Path) -> Iterator[BatchEngine]:
    options = LoadOptions(n_ctx=512, n_slots=6, kv_unified=False)
    with BatchEngine(pico, options, n_threads=1, scene_room=1 << 26) as engine:
        yield engine


@pytest.fixture(scope="module")
def two(pico: Path) -> Iterator[BatchEngine]:
    options = LoadOptions(n_ctx=256, n_slots=2, kv_unified=False)
    with BatchEngine(pico, options, n_threads=1, scene_room=1 << 26) as engine:
        yield engine


def tokens(steps: Sequence[Step]) -> list[int]:
    return [step.id for step in steps if isinstance(step, Token)]


def read(steps: Sequence[Step]) -> int:
    return next(step.evaluated for step in steps if isinstance(step, Prefilled))


def test_a_gap_between_streams_is_filled_and_forgotten(
    apart: BatchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies in streams 0 and 2, later in 0 and 5: nothing stays of what is between them."""
    slots = apart._slots
    evaluator: Any = slots._evaluator
    prompts = [[1, *range(40 + 20 * n, 60 + 20 * n)] for n in range(6)]
    alone = [tokens(list(apart.generate(prompt, GREEDY))) for prompt in prompts]
    slots._clear()  # the replies leave their streams to the next six in order
    slots._idle.sort()
    for prompt in prompts:
        slots.submit(Continuation(tuple(prompt), SamplingParams(max_tokens=1)))
    while slots.n_live:
        slots.step()
    seen: list[list[int]] = []
    decode = lib.llama_decode

    def watched(ctx: object, batch: Any) -> int:
        count = batch.n_tokens
        seen.append([int(batch.seq_id[i][0]) for i in range(count)])
        return int(decode(ctx, batch))

    monkeypatch.setattr(lib, "llama_decode", watched)
    lengths = [evaluator._length(seq) for seq in range(6)]
    for far, filled in ((2, [1]), (5, [])):
        assert len(filled) == far - 1 or far - 1 > FILLED
        said: dict[int, list[Step]] = {}
        pair = [slots.submit(Continuation(tuple(prompts[n]), GREEDY)) for n in (0, far)]
        seen.clear()
        while slots.n_live:
            for event in slots.step():
                said.setdefault(event.handle, []).append(event.step)
        assert seen[0] == [0, *filled, far]
        assert [tokens(said[handle]) for handle in pair] == [alone[0], alone[far]]
        for seq in range(6):
            assert evaluator._length(seq) == slots.cells.length(seq)
            assert seq in (0, 2, 5) or evaluator._length(seq) == lengths[seq]


def test_a_batch_is_in_the_order_of_its_streams(apart: BatchEngine) -> None:
    """Whoever reads between two that write: else llama.cpp would evaluate in three parts."""
    evaluator: Any = apart._slots._evaluator
    evaluator._lay_out([7, 8, 9, 9], [3, 4, 0, 1], [0, 2, 1, 1], 2)
    assert evaluator._seqs[:4].tolist() == [0, 1, 1, 2]
    assert evaluator._ids[:4].tolist() == [7, 9, 9, 8]
    assert evaluator._positions[:4].tolist() == [3, 0, 1, 4]
    assert evaluator._wanted[:4].tolist() == [1, 0, 0, 1]


def test_a_shared_beginning_is_read_once_and_copied(apart: BatchEngine) -> None:
    prompts = [(*range(1000, 1200), 50 + own) for own in range(3)]
    slots = apart._slots
    handles = [slots.submit(Continuation(prompt, GREEDY)) for prompt in prompts]
    said: dict[int, list[Step]] = {}
    while slots.n_live:
        for event in slots.step():
            said.setdefault(event.handle, []).append(event.step)
    assert [read(said[handle]) for handle in handles] == [201, 1, 1]
    slots._clear()
    for handle, prompt in zip(handles, prompts, strict=True):
        assert tokens(list(apart.generate(prompt, GREEDY))) == tokens(said[handle])


def test_a_conversation_without_a_slot_waits_in_ram(two: BatchEngine, apart: BatchEngine) -> None:
    """Three in turns in two slots, whose caches hold two: each goes on without being read again."""
    prompts = [[own, *range(500 + 200 * own, 660 + 200 * own)] for own in (1, 2, 3)]
    for prompt in prompts:
        list(two.generate(prompt, SamplingParams(max_tokens=1)))
    for prompt in prompts:
        steps = list(two.generate([*prompt, 7, 8], GREEDY))
        assert read(steps) <= 3
        assert tokens(steps) == tokens(list(apart.generate([*prompt, 7, 8], GREEDY)))


def test_a_state_of_another_number_of_streams_is_refused(apart: BatchEngine) -> None:
    """Given as it is, not as one of our files: llama.cpp says no, and the stream stays empty."""
    evaluator = apart._slots._evaluator
    assert isinstance(evaluator, StreamSlots)
    list(apart.generate([1, *range(300, 500)], SamplingParams(max_tokens=1)))
    (seq,) = [n for n in range(6) if 300 in apart._slots.cells.ids(n)]
    whole = evaluator._copy(seq, apart._slots.cells.ids(seq))
    assert whole is not None
    state = bytes(whole.state)
    empty = next(n for n in range(6) if n != seq)
    apart._slots._cut(empty, 0)
    for damaged in (state[:8] + b"\7\0\0\0" + state[12:], state[: len(state) // 2], state[:16]):
        buffer = (ctypes.c_uint8 * len(damaged)).from_buffer_copy(damaged)
        other = Snapshot(whole.ids, buffer, len(damaged))
        found = StreamSlots.__mro__[1].fill(evaluator, empty, other)  # type: ignore[attr-defined]
        assert not found
        assert evaluator._length(empty) == 0
    assert evaluator.fill(empty, whole)
    assert evaluator._length(empty) == len(whole.ids)
    evaluator.cut(empty, 0)


def test_a_gpus_first_batch_is_no_longer_than_a_stream(pico: Path, two: BatchEngine) -> None:
    """All of it is in one stream, which may have fewer cells than a GPU evaluates at once."""
    model = two._model
    settings = replace(model.plan.settings, n_ubatch=GPU_UBATCH)
    two._slots._clear()
    _warm_up(pico, replace(model, plan=replace(model.plan, settings=settings)))
    assert int(lib.llama_n_ctx_seq(model.ctx)) == two.n_ctx == 256
