"""Several scenes on one engine: the ones that are not in the cache wait in RAM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from generated import kv_cache_of
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Prefilled, Token
from relay_gguf.llama import kv_cache
from relay_gguf.llama.contexts.snapshots import Snapshot, Snapshots, common_prefix

GREEDY = SamplingParams(temperature=0, max_tokens=8, seed=1)


@pytest.fixture
def engine(pico: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(pico, n_threads=1, scene_room=1 << 24) as engine:
        yield engine


def answer(engine: LlamaEngine, prompt: list[int]) -> tuple[list[int], int]:
    """What is said, and how many tokens were evaluated for it."""
    steps = list(engine.generate(prompt, GREEDY))
    (filled,) = [step for step in steps if isinstance(step, Prefilled)]
    return [step.id for step in steps if isinstance(step, Token)], filled.evaluated


def scene(number: int, length: int = 300) -> list[int]:
    return [5, 6, *((number * 37 + i * 11) % 900 + 20 for i in range(length))]


def test_going_back_costs_one_token_and_says_the_same(engine: LlamaEngine) -> None:
    first = [answer(engine, scene(number)) for number in range(4)]
    assert [evaluated for _, evaluated in first] == [302, 300, 300, 300]
    again = [answer(engine, scene(number)) for number in range(4)]
    assert [evaluated for _, evaluated in again] == [1, 1, 1, 1]
    assert [said for said, _ in again] == [said for said, _ in first]


def test_a_scene_goes_on_where_it_was(engine: LlamaEngine) -> None:
    said, _ = answer(engine, scene(1))
    answer(engine, scene(2))
    longer = [*scene(1), *said[:7], 8, 9]
    warm, evaluated = answer(engine, longer)
    assert evaluated == 2, "the reply was in the cache, too"
    with_nothing = LlamaEngine(engine._path, n_threads=1)
    try:
        assert answer(with_nothing, longer)[0] == warm
    finally:
        with_nothing.close()


def test_without_room_everything_is_read_again(pico: Path) -> None:
    with LlamaEngine(pico, n_threads=1) as engine:
        answer(engine, scene(1))
        answer(engine, scene(2))
        assert answer(engine, scene(1))[1] == 300
        assert len(kv_cache_of(engine).snapshots) == 0


def test_the_oldest_snapshot_is_dropped(engine: LlamaEngine) -> None:
    answer(engine, scene(0))
    answer(engine, scene(1))
    kv_cache_of(engine).snapshots.room = 2 * kv_cache_of(engine).snapshots.n_bytes + 1000
    for number in (2, 3):
        answer(engine, scene(number))
    assert len(kv_cache_of(engine).snapshots) == 2
    assert answer(engine, scene(1))[1] == 1
    assert answer(engine, scene(0))[1] == 300


def test_a_retry_and_an_undo_are_no_other_scene(engine: LlamaEngine) -> None:
    answer(engine, scene(1))
    answer(engine, scene(1))
    answer(engine, scene(1)[:200])
    assert len(kv_cache_of(engine).snapshots) == 0


def test_a_copy_that_llama_cpp_refuses(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, _ = answer(engine, scene(1))
    answer(engine, scene(2))
    monkeypatch.setattr(kv_cache.lib, "llama_state_seq_set_data", lambda *arguments: 0)
    assert answer(engine, scene(1)) == (said, 302)


# The scenes that are kept, without an engine


def kept(snapshots: Snapshots) -> list[tuple[int, ...]]:
    return [snapshot.ids for snapshot in snapshots._kept]


def test_a_scene_takes_the_place_of_its_own_beginning() -> None:
    snapshots = Snapshots(100)
    snapshots.keep(Snapshot((1, 2), None, 10))
    snapshots.keep(Snapshot((3, 4), None, 10))
    snapshots.keep(Snapshot((1, 2, 3), None, 20))
    assert kept(snapshots) == [(3, 4), (1, 2, 3)]
    snapshots.keep(Snapshot((9,), None, 101))
    assert kept(snapshots) == [(3, 4), (1, 2, 3)], "too large to be kept"
    assert snapshots.take([1, 2, 9], over=2) is None
    found = snapshots.take([1, 2, 9], over=1)
    assert found is not None
    assert found.ids == (1, 2, 3)
    assert kept(snapshots) == [(3, 4)]


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=6), st.integers(0, 50))))
def test_there_is_never_more_than_room_for(added: list[tuple[list[int], int]]) -> None:
    snapshots = Snapshots(100)
    for ids, n_bytes in added:
        snapshots.keep(Snapshot(tuple(ids), None, n_bytes))
        assert snapshots.n_bytes <= 100
        assert snapshots.take([9], over=0) is None
        assert kept(snapshots)[-1] == tuple(ids)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_as_long_as_it_can_be(left: list[int], right: list[int]) -> None:
    count = common_prefix(left, right)
    assert left[:count] == right[:count]
    assert left[count : count + 1] != right[count : count + 1] or count == min(
        len(left), len(right)
    )
