"""Loading: what is refused before a byte is read, and what shrinks to fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hollow import MINI, write_hollow
from pico import write_pico
from thorough import cases
from watched_loads import Watched, answers

from relay_gguf import LlamaEngine
from relay_gguf.errors import MemoryShortError, ModelError
from relay_gguf.fit.memory import GIB, MIB
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama import load as llama_load
from relay_gguf.llama.load import plan_file
from relay_gguf.machine.devices import Machine


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


@pytest.mark.parametrize(("free", "n_ctx", "kv_type"), cases(TIGHT, TIGHT[0], TIGHT[-1]))
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


@pytest.mark.thorough
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
