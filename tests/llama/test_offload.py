"""Layers on real devices: workers on loopback are GPUs with memory of their own."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from lent import Lent, Wire, kept, lend
from pico import write_pico

from relay_gguf import LlamaEngine
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Failed, Notice, Piece, Said, Typing
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.engine import Finished, Moved, Prefilling, Step, Token
from relay_gguf.errors import EngineError, ModelError, WorkerError
from relay_gguf.fit.memory import MIB
from relay_gguf.fit.placement import GPU_EXTRA
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.fit.traffic import traffic
from relay_gguf.llama.inventory import this_machine
from relay_gguf.llama.isolated import engine as isolated
from relay_gguf.llama.isolated.engine import IsolatedEngine
from relay_gguf.llama.prefill import CHUNK_SECONDS, LEAST_CHUNK, PrefillChunk
from relay_gguf.sampling import SamplingParams
from relay_gguf.workers.tensor_cache import cache_folder

GREEDY = SamplingParams(temperature=0, repeat_penalty=1, max_tokens=24, seed=1)
LONG = "The sea is wide and deep and blue. " * 380


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Lent, Lent]]:
    """Two workers; the first has less memory."""
    with lend("--memory", "512M") as first, lend("--memory", "1G") as second:
        yield first, second


@pytest.fixture(scope="module")
def deep(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of 30 blocks, as many as SmolLM2 has, with less than half of its bytes."""
    return write_pico(
        tmp_path_factory.mktemp("deep") / "deep.gguf", smollm2, n_layer=30, n_embd=128
    )


@pytest.fixture(scope="module")
def reference(deep: Path) -> list[int]:
    """The reply of that model on the CPU of this process."""
    with LlamaEngine(deep, LoadOptions(no_gpu=True)) as engine:
        return said(engine)


def prompt(engine: Any, text: str = "Tell me about the sea.") -> list[int]:
    start, end = engine.control.im_start, engine.control.im_end
    body = engine.tokenize(f"user\n{text}")
    return [start, *body, end, *engine.tokenize("\n"), start, *engine.tokenize("assistant\n")]


def said(engine: Any, params: SamplingParams = GREEDY) -> list[int]:
    steps = engine.generate(prompt(engine), params)
    return [step.id for step in steps if isinstance(step, Token)]


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


def test_a_compact_cache_on_a_worker(two: tuple[Lent, Lent], deep: Path) -> None:
    with LlamaEngine(deep, LoadOptions(no_gpu=True, kv_type="q8_0")) as engine:
        here = said(engine)
    options = LoadOptions(workers=(two[0].address,), kv_type="q8_0", n_ctx=512)
    with IsolatedEngine(deep, options) as engine:
        (share, _) = engine.plan.shares
        assert share.kv == engine.plan.model.kv(30, 512, "q8_0")
        assert said(engine)[:4] == here[:4]  # of which blocks of 32 values lose a little


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


def test_a_small_worker_gets_little(deep: Path) -> None:
    with lend("--memory", "120M") as worker:
        options = LoadOptions(workers=(worker.address,), n_ctx=4096, kv_type="f16")
        with IsolatedEngine(deep, options) as engine:
            share = engine.plan.shares[0]
            assert 0 < engine.plan.settings.n_gpu_layers < engine.plan.model.n_layers
            assert share.used <= share.free <= 120 * MIB
            assert engine.n_tries == 1


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


# Workers that fail


def test_a_worker_that_is_lost_in_mid_reply(deep: Path, reference: list[int]) -> None:
    """The error names it, what was said stays, and the next reply does without it."""
    with lend() as lost, lend() as left:
        workers = (lost.address, left.address)
        with IsolatedEngine(deep, LoadOptions(workers=workers)) as engine:
            n_ctx, got = engine.n_ctx, []

            def talk() -> None:
                for step in engine.generate(prompt(engine), GREEDY):
                    if isinstance(step, Token):
                        got.append(step.id)
                        if len(got) == 3:
                            lost.kill()

            with pytest.raises(EngineError) as error:
                talk()
            assert f"Worker {lost.address} is not there" in str(error.value)
            assert left.address not in str(error.value)
            assert str(error.value).endswith("The next message loads the model without it.")
            assert got == reference[: len(got)]
            assert engine.tokenize("as before")
            steps = list(engine.generate(prompt(engine), GREEDY))
            assert [step.text for step in steps if isinstance(step, Moved)] == [
                "The model is loaded again, which may take a while.",
                f"The model is loaded without {lost.address}: all 31 layers on RPC0.",
            ]
            assert [step.id for step in steps if isinstance(step, Token)] == reference
            assert engine.n_ctx == n_ctx


def test_a_chat_goes_on_without_its_only_worker(pico: Path, tmp_path: Path) -> None:
    with lend() as worker:
        engine = IsolatedEngine(pico, LoadOptions(workers=(worker.address,)))
        generator = Generator(engine, SamplingParams(max_tokens=500, seed=3))
        session = Session(Dialogue(generator, tmp_path / "sessions", path=str(pico)))
        list(session.start())
        events, pieces = [], 0
        for event in session.submit("hello there"):
            events.append(event)
            if isinstance(event, Piece):
                pieces += 1
                if pieces == 3:
                    worker.kill()
        (failed,) = [event for event in events if isinstance(event, Failed)]
        assert worker.address in failed.text
        assert any(m.content == "hello there" for m in session.transcript.context)
        generator.params = SamplingParams(max_tokens=3, seed=3)
        events = list(session.submit("/retry"))
        notices = [event.text for event in events if isinstance(event, Notice)]
        assert f"* The model is loaded without {worker.address}: all in RAM." in notices
        kinds = [type(event) for event in events]
        assert kinds.index(Typing) > max(n for n, kind in enumerate(kinds) if kind is Notice)
        assert kinds.index(Typing) < kinds.index(Piece)
        assert any(isinstance(event, Said) for event in events)
        session.close()
        engine.close()


def test_what_is_left_does_not_suffice(pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message tries again, which can be stopped."""
    monkeypatch.setattr(isolated, "DEAF", isolated.LOOK)  # no process starts so soon
    with lend() as worker:
        engine = IsolatedEngine(pico, LoadOptions(workers=(worker.address,)), n_threads=1)
        reply = said(engine)
        worker.kill()
    with engine:
        with pytest.raises(EngineError, match=worker.address):
            said(engine)
        moved = engine._path
        engine._path = moved.with_name("gone.gguf")
        with pytest.raises(
            EngineError, match=rf"{worker.address} .* The model does not fit without: "
        ):
            said(engine)
        engine._path = moved
        engine.cancel()
        with pytest.raises(EngineError, match="Loading the model was stopped"):
            said(engine)
        assert said(engine) == reply


def test_a_worker_that_is_lost_while_loading(two: tuple[Lent, Lent], deep: Path) -> None:
    with Wire(two[0].address) as wire:
        options = LoadOptions(workers=(wire.address,))
        with pytest.raises(WorkerError) as error:
            IsolatedEngine(deep, options, on_progress=lambda share: share > 0.3 and wire.cut())
    assert f"Worker {wire.address}" in str(error.value)


def test_errors_of_the_child_come_over(two: tuple[Lent, Lent], tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        IsolatedEngine(path, LoadOptions(workers=(two[0].address,)))


# Soon


def read_before_a_cancel(steps: Iterator[Step], engine: IsolatedEngine) -> float:
    """The share of the prompt that was read when a cancel in the middle of it was heard."""
    share = 0.0
    for step in steps:
        if isinstance(step, Prefilling):
            engine.cancel()
            share = step.done / step.total
    assert isinstance(step, Finished)
    assert step.reason == "cancelled"
    return share


def test_a_cancel_while_a_worker_reads(two: tuple[Lent, Lent], smollm2: Path) -> None:
    with IsolatedEngine(smollm2, LoadOptions(workers=(two[0].address,))) as engine:
        ids = prompt(engine, LONG)
        assert len(ids) > 3000
        assert read_before_a_cancel(engine.generate(ids, GREEDY), engine) < 0.5
        engine.cancel()  # the next one
        assert [type(step) for step in engine.generate(ids, GREEDY)][-1] is Finished
        steps = iter(engine.generate(ids, GREEDY))
        next(steps)
        steps.close()  # type: ignore[attr-defined]
        assert said(engine)


def test_a_cancel_does_not_wait_for_a_worker(two: tuple[Lent, Lent], pico: Path) -> None:
    """It evaluates for seconds, as it seems: a reply takes that long."""
    with Wire(two[0].address, 1e-4) as wire:
        options = LoadOptions(workers=(wire.address,))
        with IsolatedEngine(pico, options, n_threads=1) as engine:
            reply = said(engine)
            wire.seconds = 1.2
            steps = engine.generate(prompt(engine), GREEDY)
            canceller = threading.Timer(0.5, engine.cancel)
            canceller.start()
            began = time.monotonic()
            (end,) = [step for step in steps if isinstance(step, Finished)]
            assert end.reason == "cancelled"
            assert time.monotonic() - began < 0.5 + 1
            wire.seconds = 1e-4
            assert said(engine) == reply


def test_the_child_ends_with_its_parent(two: tuple[Lent, Lent], pico: Path) -> None:
    code = f"""
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.isolated.engine import IsolatedEngine
engine = IsolatedEngine({str(pico)!r}, LoadOptions(workers=({two[0].address!r},)))
print(engine._child._process.pid, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        child = psutil.Process(int(run.stdout.readline()))
        run.kill()
        psutil.wait_procs([child], timeout=5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent by a signal")
def test_ctrl_c_while_a_worker_reads(two: tuple[Lent, Lent], smollm2: Path) -> None:
    command = [sys.executable, "-m", "relay_gguf", "chat", str(smollm2), "--plain", "--seed", "1"]
    command += ["--worker", two[0].address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(f"{LONG}\n")
        run.stdin.flush()
        for line in run.stdout:
            if LONG[:20] in line or "joined" in line:
                break
        time.sleep(1.5)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        run.stdin.close()
        run.wait(10)
        took = time.monotonic() - began
        assert took < 2, "one second, and one for Python to end"


def test_chunks_become_as_small_as_they_must() -> None:
    chunk = PrefillChunk(512)
    chunk.took(512, CHUNK_SECONDS * 4)
    assert chunk.size == 128
    chunk.took(128, CHUNK_SECONDS / 4)
    assert chunk.size == 256
    chunk.took(100, CHUNK_SECONDS / 100)  # the end of a prompt says nothing
    assert chunk.size == 256
    chunk.took(256, CHUNK_SECONDS * 1000)
    assert chunk.size == LEAST_CHUNK


# What is sent


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
