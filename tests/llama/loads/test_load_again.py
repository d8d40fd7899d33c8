"""After a load that failed for memory: less is tried, up to four times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp as lib
import pytest
from thorough import cases
from watched_loads import CARD, Watched, answers

from relay_gguf import LlamaEngine
from relay_gguf.errors import MemoryShortError
from relay_gguf.fit.memory import GIB, MIB
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama import load as llama_load
from relay_gguf.llama.load import TRIES
from relay_gguf.machine.devices import Gpu
from relay_gguf.sampling import SamplingParams


@pytest.mark.parametrize("failures", cases(range(TRIES), TRIES - 1))
def test_each_try_takes_less(
    smollm2: Path, watched: Watched, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_load, "_warm_up", lambda path, loaded: None)
    watched.machine(8 * GIB, replace(CARD, free=GIB), replace(CARD, name="CUDA1", free=2 * GIB))
    watched.failures = failures
    with LlamaEngine(smollm2) as engine:
        assert engine.n_tries == failures + 1
        assert engine.plan is watched.plans[-1]
        assert answers(engine)
    used = [sum(share.used for share in plan.shares[:-1]) for plan in watched.plans]
    assert len(used) == failures + 1
    assert used == sorted(set(used), reverse=True), "on the cards"


@pytest.mark.parametrize(
    ("cards", "tries"),
    [
        ((), 3),  # there is no less then
        pytest.param((replace(CARD, free=170 * MIB),), TRIES, marks=pytest.mark.thorough),
        ((CARD,), TRIES),
    ],
)
def test_after_four_tries_the_failure_is_told(
    smollm2: Path, watched: Watched, cards: tuple[Gpu, ...], tries: int
) -> None:
    watched.machine(GIB, *cards)
    watched.failures = 9
    with pytest.raises(MemoryShortError, match=rf"^failure {tries}$"):
        LlamaEngine(smollm2)
    assert watched.n_loads == 0
    layers = [at.n_gpu_layers for at in watched.settings]
    assert layers == sorted(layers, reverse=True), "never more again"
    alone = [plan.shares[0].used for plan in watched.plans if len(plan.shares) == 1]
    assert alone == sorted(set(alone), reverse=True)
    assert len({str(at) for at in watched.settings}) == tries


def test_nothing_smaller_to_try(smollm2: Path, watched: Watched) -> None:
    """Of the least context in q8_0 there is no less."""
    watched.machine(235 * MIB)
    watched.failures = 1
    with pytest.raises(MemoryShortError, match=r"^failure 1$"):
        LlamaEngine(smollm2)


def test_what_the_user_has_fixed_is_not_changed(smollm2: Path, watched: Watched) -> None:
    watched.machine(8 * GIB, CARD)
    watched.failures = 1
    with pytest.raises(MemoryShortError, match=r"^failure 1$"):
        LlamaEngine(smollm2, LoadOptions(n_ctx=4096, n_gpu_layers=31, kv_type="f16"))
    assert len(watched.plans) == 1


def test_what_the_user_has_left_open_is(
    smollm2: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_load, "_warm_up", lambda path, loaded: None)
    watched.machine(8 * GIB, CARD)
    watched.failures = 1
    with LlamaEngine(smollm2, LoadOptions(n_ctx=2048, kv_type="q8_0")) as engine:
        first, second = watched.settings
        assert (first.n_ctx, first.kv_type) == (second.n_ctx, second.kv_type) == (2048, "q8_0")
        assert second.n_gpu_layers < first.n_gpu_layers == 31
        assert engine.n_ctx == 2048


def test_a_first_evaluation_that_fails_steps_down(
    pico: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's kernels take their memory then. -2 is llama.cpp's word for a failed allocation."""
    decode, statuses = lib.llama_decode, [-2]
    monkeypatch.setattr(
        lib, "llama_decode", lambda *args: statuses.pop() if statuses else decode(*args)
    )
    watched.machine(8 * GIB, CARD)
    with LlamaEngine(pico) as engine:
        assert not statuses
        assert engine.n_tries == watched.n_loads == 2
        assert engine.plan.settings.n_gpu_layers < watched.settings[0].n_gpu_layers == 3
        assert watched.n_freed == -1, "the first model is freed, the second is not"
        assert answers(engine)


def test_a_first_evaluation_that_always_fails(
    pico: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib, "llama_decode", lambda *args: -2)
    watched.machine(8 * GIB, CARD)
    options = LoadOptions(n_ctx=2048, n_gpu_layers=3, kv_type="f16")
    with pytest.raises(MemoryShortError, match=r"failed \(llama_decode returned -2\)"):
        LlamaEngine(pico, options)
    assert watched.n_loads == 1


def test_the_warm_up_leaves_an_empty_cache(pico: Path, watched: Watched) -> None:
    watched.machine(8 * GIB, CARD)
    with LlamaEngine(pico) as warm:
        assert warm.plan.settings.n_gpu_layers == 3
        assert lib.llama_memory_seq_pos_max(warm._model.memory, 0) == -1
        warm_ids = warm.tokenize("How do you do?")
        list(warm.generate(warm_ids, SamplingParams(max_tokens=1, seed=1)))
        logits = warm.logits()
    watched.machine(8 * GIB)
    with LlamaEngine(pico) as cold:
        list(cold.generate(warm_ids, SamplingParams(max_tokens=1, seed=1)))
        assert abs(cold.logits() - logits).max() < 1e-3


def test_several_cards_are_told_to_llama_cpp(
    pico: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads a share for each device, though it says that it has at most 16."""
    seen: list[list[float]] = []
    load = lib.llama_model_load_from_file

    def loading(path: bytes, params: Any) -> Any:
        if params.tensor_split and not params.no_alloc:
            seen.append(params.tensor_split[:20])
        return load(path, params)

    monkeypatch.setattr(lib, "llama_model_load_from_file", loading)
    watched.machine(8 * GIB, *(replace(CARD, name=f"CUDA{n}") for n in range(20)))
    with LlamaEngine(pico) as engine:
        assert seen == [list(engine.plan.settings.tensor_split)]
        assert sum(seen[0]) == engine.plan.settings.n_gpu_layers == 3
