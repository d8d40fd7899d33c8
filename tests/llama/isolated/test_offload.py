"""Layers on real devices, workers on loopback: where they lie, and what travels there."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lent import Lent, Wire, kept, lend
from replies import said

from relay_gguf import LlamaEngine
from relay_gguf.errors import WorkerError
from relay_gguf.fit.memory import MIB
from relay_gguf.fit.placement import GPU_EXTRA
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.fit.traffic import traffic
from relay_gguf.llama.inventory import this_machine
from relay_gguf.llama.isolated.engine import IsolatedEngine
from relay_gguf.workers.tensor_cache import cache_folder


@dataclass(frozen=True, slots=True)
class Case:
    """Options, and the blocks that each device then holds; the last is RAM."""

    options: dict[str, Any]
    blocks: Sequence[int]


CASES = {
    "none": Case({"n_gpu_layers": 0}, [30]),
    "half": Case({"n_gpu_layers": 15, "main_gpu": 0}, [14, 16]),
    "all, by memory": Case({}, [22, 8, 0]),
    "all, by shares": Case({"tensor_split": (1, 3)}, [8, 22, 0]),
    "half, by shares": Case({"n_gpu_layers": 16, "tensor_split": (1, 1)}, [8, 7, 15]),
    "all on the second": Case({"main_gpu": 1}, [30, 0]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_layers_on_workers(
    name: str, two: tuple[Lent, Lent], deep: Path, reference: list[int]
) -> None:
    case = CASES[name]
    workers = tuple(worker.address for worker in two)
    with IsolatedEngine(deep, LoadOptions(workers=workers, **case.options)) as engine:
        assert [share.blocks for share in engine.plan.shares] == case.blocks
        assert engine.n_tries == 1
        assert said(engine) == reference


@pytest.mark.thorough
def test_a_compact_cache_on_a_worker(two: tuple[Lent, Lent], deep: Path) -> None:
    with LlamaEngine(deep, LoadOptions(no_gpu=True, kv_type="q8_0")) as engine:
        here = said(engine)
    options = LoadOptions(workers=(two[0].address,), kv_type="q8_0", n_ctx=512)
    with IsolatedEngine(deep, options) as engine:
        (share, _) = engine.plan.shares
        assert share.kv == engine.plan.model.kv(30, 512, "q8_0")
        assert said(engine)[:4] == here[:4]  # of which blocks of 32 values lose a little


@pytest.mark.thorough
def test_a_worker_holds_what_was_planned(deep: Path) -> None:
    """Its buffers against the plan: weights and KV cache to 1 %, compute buffer to 40 %."""
    with lend(log=True) as worker:
        options = LoadOptions(workers=(worker.address,), n_gpu_layers=20)
        with IsolatedEngine(deep, options) as engine:
            share = engine.plan.shares[0]
            sizes = worker.allocated
    weights, kv, *compute = sizes
    assert weights == pytest.approx(share.weights, rel=0.01)
    assert kv == pytest.approx(share.kv, rel=0.01)
    assert sum(compute) == pytest.approx(share.compute - GPU_EXTRA, rel=0.4)
    assert sum(sizes) <= share.used


@pytest.mark.thorough
def test_a_small_worker_gets_little(deep: Path) -> None:
    with lend("--memory", "120M") as worker:
        options = LoadOptions(workers=(worker.address,), n_ctx=4096, kv_type="f16")
        with IsolatedEngine(deep, options) as engine:
            share = engine.plan.shares[0]
            assert 0 < engine.plan.settings.n_gpu_layers < engine.plan.model.n_layers
            assert share.used <= share.free <= 120 * MIB
            assert engine.n_tries == 1


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="limits an address space")
def test_a_worker_that_has_less_than_it_says(smollm2: Path, reference: list[int]) -> None:
    """Real failed loads, each with less, until one fits."""
    import resource

    # Weights take 92 MB, a tensor on its way 30; keys and values would take 188. A server that has
    # no memory for a request, rather than for a buffer, dies of it: then with another limit.
    for room in (160, 110, 135):
        with lend() as worker:
            size = worker.server.memory_info().vms + (92 + 30 + room) * MIB
            resource.prlimit(worker.server.pid, resource.RLIMIT_AS, (size, size))
            options = LoadOptions(n_ctx=8192, workers=(worker.address,))
            with contextlib.suppress(WorkerError), IsolatedEngine(smollm2, options) as engine:
                if engine.n_tries > 1:  # keys and values may be in q8_0
                    assert len(said(engine)) == len(reference)
                    return
    pytest.fail("no load failed for memory and then fitted")


# What is sent


@pytest.mark.thorough
def test_a_second_load_sends_little(pico: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The output, 12 MB of 13, is above the size from which llama.cpp keeps tensors: 10 MiB."""
    caplog.set_level(logging.INFO)
    with lend("--cache") as worker:
        assert any("Large tensors are kept in" in line for line in worker.lines)
        sent = []
        for _ in range(2):
            with (
                Wire(worker.address) as wire,
                IsolatedEngine(pico, LoadOptions(workers=(wire.address,))) as engine,
            ):
                sent.append(wire.there)
                on_worker = engine.plan.shares[0].weights
                reply = said(engine)
        assert kept(cache_folder()) > 10 * MIB
    assert sent[0] > on_worker
    assert sent[1] < sent[0] / 10
    with LlamaEngine(pico, LoadOptions(no_gpu=True)) as engine:
        assert said(engine) == reply


@pytest.mark.thorough
def test_what_travels_is_as_planned(two: tuple[Lent, Lent], deep: Path) -> None:
    """On load to 2 %; for a token the reply exactly, the way there to 3 kB."""
    with Wire(two[0].address) as wire:
        options = LoadOptions(workers=(wire.address,))
        machine = this_machine(timed=False, workers=options.workers)
        before = wire.there
        with IsolatedEngine(deep, options) as engine:
            (planned,) = traffic(engine.plan, machine)
            assert wire.there - before == pytest.approx(planned.on_load, rel=0.02)
            said(engine)
            there, back = wire.there, wire.back
            n_tokens = len(said(engine))
    assert (wire.back - back) / n_tokens == pytest.approx(planned.back, rel=0.05)
    assert (wire.there - there) / n_tokens == pytest.approx(planned.there, abs=3000)
