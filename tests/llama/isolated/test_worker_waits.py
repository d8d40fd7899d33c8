"""Nobody waits for a worker: a cancel, Ctrl-C and the end of the program are soon heard."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lent import Lent, Wire
from replies import GREEDY, prompt, said

from relay_gguf.engine import Finished, Prefilling, Step
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.isolated.engine import IsolatedEngine
from relay_gguf.llama.prefill import CHUNK_SECONDS, LEAST_CHUNK, PrefillChunk

LONG = "The sea is wide and deep and blue. " * 380


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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_cancel_does_not_wait_for_a_worker(two: tuple[Lent, Lent], pico: Path) -> None:
    """It evaluates for seconds, as it seems: a reply takes that long."""
    with Wire(two[0].address, 1e-4) as wire:
        options = LoadOptions(workers=(wire.address,))
        with IsolatedEngine(pico, options, n_threads=1) as engine:
            reply = said(engine)
            wire.seconds = 3
            steps = engine.generate(prompt(engine), GREEDY)
            canceller = threading.Timer(0.5, engine.cancel)
            canceller.start()
            began = time.monotonic()
            (end,) = [step for step in steps if isinstance(step, Finished)]
            assert end.reason == "cancelled"
            assert time.monotonic() - began < 3
            wire.seconds = 1e-4
            assert said(engine) == reply


@pytest.mark.thorough
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


@pytest.mark.thorough
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
        run.send_signal(signal.SIGINT)
        rest, _ = run.communicate(timeout=60)
        assert "<user>" not in rest, "all of it would take longer to read, and be answered"


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
