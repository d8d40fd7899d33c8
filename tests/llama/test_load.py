"""Loading: what is refused before, what shrinks to fit, and less after a load that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp as lib
import pytest
from hollow import MINI, write_hollow
from pico import write_pico

from relay_gguf import LlamaEngine
from relay_gguf.engine import Token
from relay_gguf.errors import MemoryShortError, ModelError
from relay_gguf.fit.memory import GIB, MIB
from relay_gguf.fit.placement import LoadSettings, Plan
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama import load as llama_load
from relay_gguf.llama.load import TRIES, plan_file
from relay_gguf.machine.devices import Gpu, Machine
from relay_gguf.sampling import SamplingParams

CARD = Gpu("CUDA0", "a card", "CUDA", 6 * GIB, 6 * GIB)


class Watched:
    """What `load` did: settings of each `_load`, and each model that llama.cpp freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.plans: list[Plan] = []
        self.n_loads = self.n_freed = self.n_freed_contexts = 0
        self.failures = 0
        self._wrap("llama_model_load_from_file", self._loading)
        self._wrap("llama_model_free", self._freeing)
        self._wrap("llama_free", self._freeing_context)
        self._load = llama_load._load
        monkeypatch.setattr(llama_load, "_load", self._loaded)

    def machine(self, available: int, *gpus: Gpu) -> None:
        """Pretend that this is the machine."""
        self.found = Machine(64 * GIB, available, 0.0, gpus)
        self.monkeypatch.setattr(llama_load, "this_machine", lambda *, timed: self.found)

    @property
    def settings(self) -> list[LoadSettings]:
        """Of each try."""
        return [plan.settings for plan in self.plans]

    def _wrap(self, name: str, wrapper: Any) -> None:
        real = getattr(lib, name)
        self.monkeypatch.setattr(lib, name, lambda *args: wrapper(real, *args))

    def _loading(self, real: Any, path: bytes, params: Any) -> Any:
        self.n_loads += not params.no_alloc
        model = real(path, params)
        self.n_freed -= bool(model)
        return model

    def _freeing(self, real: Any, model: Any) -> None:
        self.n_freed += 1
        real(model)

    def _freeing_context(self, real: Any, ctx: Any) -> None:
        self.n_freed_contexts += 1
        real(ctx)

    def _loaded(self, path: Path, plan: Plan, **rest: Any) -> Any:
        self.plans.append(plan)
        if len(self.plans) <= self.failures:
            raise MemoryShortError(f"failure {len(self.plans)}")
        return self._load(path, plan, **rest)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """No model may be left when a test is over."""
    found = Watched(monkeypatch)
    yield found
    assert found.n_freed == 0, "each model freed, once"


def answers(engine: LlamaEngine) -> bool:
    """Whether it generates."""
    ids = engine.tokenize("How do you do?")
    steps = list(engine.generate(ids, SamplingParams(max_tokens=2, seed=1)))
    return any(isinstance(step, Token) for step in steps)


# Before


def test_too_little_memory_is_refused_before_a_byte_is_read(
    smollm2: Path, watched: Watched
) -> None:
    watched.machine(200 * MIB)
    with pytest.raises(MemoryShortError) as error:
        LlamaEngine(smollm2)
    assert watched.n_loads == 0
    assert str(error.value).startswith(
        f"{smollm2} does not fit: with 2048 tokens of context in q8_0 it needs 203 MiB of RAM "
    )


TIGHT = [  # MiB that are free, context, type
    (2048, 4096, "f16"),
    (300, 3584, "f16"),
    (270, 2560, "f16"),
    (250, 3328, "q8_0"),
    (240, 2560, "q8_0"),
]


@pytest.mark.parametrize(("free", "n_ctx", "kv_type"), TIGHT)
def test_a_context_shrinks_until_it_fits(
    smollm2: Path, watched: Watched, free: int, n_ctx: int, kv_type: str
) -> None:
    watched.machine(free * MIB)
    with LlamaEngine(smollm2) as engine:
        at = engine.plan.settings
        assert (at.n_ctx, at.kv_type) == (n_ctx, kv_type)
        assert engine.n_ctx == n_ctx
        assert engine.n_tries == 1
        assert engine.plan.fits
        assert answers(engine)


def test_a_cache_of_odd_heads_stays_in_f16(pico: Path, watched: Watched) -> None:
    """llama.cpp cannot quantize it, and would refuse a plan that does."""
    model = read_gguf(pico).sizes()
    needs = (
        model.weights + model.process + model.compute_buffer(2048, 128) + model.kv(2, 2048, "f16")
    )
    watched.machine(needs * 8 // 7 + MIB)
    with LlamaEngine(pico) as engine:
        assert engine.plan.settings.kv_type == "f16"
    watched.machine(needs * 8 // 7 - MIB // 4)  # in q8_0 it would do
    fit(replace(model, blocks_of_32=True), watched.found, LoadOptions())
    with pytest.raises(MemoryShortError):
        LlamaEngine(pico)


def test_the_machine_is_not_timed_for_a_load(
    pico: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    asked: list[bool] = []

    def found(*, timed: bool) -> Machine:
        asked.append(timed)
        return Machine(8 * GIB, 8 * GIB, 0.0)

    monkeypatch.setattr(llama_load, "this_machine", found)
    LlamaEngine(pico).close()
    assert asked == [False]


def test_a_shard_that_is_missing_is_named(smollm2: Path, tmp_path: Path, watched: Watched) -> None:
    first = write_hollow(
        tmp_path / "m.gguf", MINI | {"num_hidden_layers": 2}, "Q8_0", smollm2, 90 * MIB
    )
    second, third = (first.with_name(f"m-0000{n}-of-00004.gguf") for n in (2, 3))
    with LlamaEngine(first) as engine:
        assert answers(engine)
        assert engine.plan.model.weights > 100 * MIB, "of all parts"
    third.unlink()
    with pytest.raises(
        ModelError, match=r"lacks 1 of its shards: m-00003-of-00004\.gguf should be"
    ):
        LlamaEngine(first)
    second.unlink()
    with pytest.raises(
        ModelError, match=r"lacks 2 of its shards: m-00002-of-00004\.gguf should be"
    ):
        LlamaEngine(first)


def test_memory_that_keys_do_not_tell_is_measured(
    pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = read_gguf(pico).sizes()
    on = Machine(8 * GIB, 8 * GIB, 0.0)
    unknown = replace(sizes, kv_width=0.0)
    plan = plan_file(pico, unknown, on, LoadOptions())
    assert plan.shares[0].kv == plan_file(pico, sizes, on, LoadOptions()).shares[0].kv > 0
    monkeypatch.setattr(llama_load, "measure", lambda path, settings: None)
    assert plan_file(pico, unknown, on, LoadOptions()).shares[0].kv == 0


def test_a_short_model_of_unknown_memory(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "short.gguf", smollm2, n_ctx_train=300)
    sizes = replace(read_gguf(path).sizes(), kv_width=0.0)
    plan = plan_file(path, sizes, Machine(8 * GIB, 8 * GIB, 0.0), LoadOptions())
    assert plan.settings.n_ctx == 300
    kv = 2 * 2 * 16 * 2 * 2 * 512  # of the padded context; the log has two digits
    assert plan.shares[0].kv == pytest.approx(kv, rel=0.05)


# After a load that failed for memory


@pytest.mark.parametrize("failures", range(TRIES))
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
        ((replace(CARD, free=170 * MIB),), TRIES),
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
