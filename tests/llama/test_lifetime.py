"""An engine's life: closed, dropped, forked, and idle."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
from generated import GREEDY, PATIENCE

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.errors import EngineError, SettingsError
from relay_gguf.settings import ChatSettings


def test_a_closed_engine_says_so(pico: Path) -> None:
    engine = LlamaEngine(pico)
    engine.close()
    engine.close()
    for use in (
        lambda: engine.tokenize("x"),
        lambda: engine.piece(1),
        lambda: engine.vocabulary,
        lambda: list(engine.generate([1], GREEDY)),
        lambda: engine.forget([1], 0, 1),
    ):
        with pytest.raises(EngineError, match="closed"):
            use()


def test_leaving_without_close_ends_the_process_in_order(pico: Path) -> None:
    code = f"""
from relay_gguf import LlamaEngine, SamplingParams
engine = LlamaEngine({str(pico)!r})
for step in engine.generate(list(range(2000)), SamplingParams(max_tokens=2000)):
    if type(step).__name__ == "Token":
        break
raise SystemExit(7)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (7, "")


def test_an_engine_that_is_dropped_frees_its_model(pico: Path) -> None:
    """A notebook's cell that is run again must not keep the model of the run before."""
    engine = LlamaEngine(pico, n_threads=1)
    tokens = list(engine.generate(engine.tokenize("hello"), SamplingParams(max_tokens=2, seed=1)))
    thread = engine._thread._thread
    gone, freed = weakref.ref(engine), engine._release
    del engine
    gc.collect()
    assert tokens
    assert gone() is None
    assert not freed.alive
    assert not thread.is_alive()


def test_a_model_is_freed_on_whichever_thread_the_garbage_is_found(pico: Path) -> None:
    engine = LlamaEngine(pico, n_threads=1)
    thread = engine._thread
    thread.submit(engine._held.release).result(timeout=PATIENCE)
    thread._thread.join(timeout=PATIENCE)
    assert not thread._thread.is_alive()
    with pytest.raises(EngineError, match="closed"):
        list(engine.generate([1, 2], SamplingParams()))
    engine.close()


@pytest.mark.parametrize("n_threads", [0, -1, 513, 100_000])
def test_threads_that_llama_cpp_cannot_have_are_refused(n_threads: int, pico: Path) -> None:
    with pytest.raises(SettingsError, match="it must be 1 to 512"):
        LlamaEngine(pico, n_threads=n_threads)
    with pytest.raises(SettingsError, match="it must be 1 to 512"):
        ChatSettings(threads=n_threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_wants_a_reply_is_told(pico: Path) -> None:
    code = (
        "import os, sys; from relay_gguf import RelayLM\n"
        "relay = RelayLM(sys.argv[1], n_threads=1, max_tokens=2, seed=1)\n"
        "relay.message('input', 'hi')\n"
        "child = os.fork()\n"
        "if child:\n"
        "    _, status = os.waitpid(child, 0)\n"
        "    print(status, bool(relay.respond()) or 'silence', flush=True)\n"
        "    relay.close()\n"
        "else:\n"
        "    try: relay.respond()\n"
        "    except Exception as error: print(type(error).__name__, error, flush=True)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(pico)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    told, parent = run.stdout.splitlines()
    assert told.startswith("EngineError This process was forked from the one that loaded")
    assert parent.startswith("0 ")


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_engine_alone(pico: Path) -> None:
    code = (
        "import os, sys; from relay_gguf import LlamaEngine\n"
        "engine = LlamaEngine(sys.argv[1]); child = os.fork()\n"
        "if child: print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(pico)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "0\n"


def test_an_idle_engine_uses_no_cpu(pico: Path) -> None:
    """After a reply, all threads sleep: seconds of CPU, which others cannot take or give."""
    with LlamaEngine(pico, n_threads=2) as engine:
        list(engine.generate(engine.tokenize("hello"), SamplingParams(max_tokens=8, seed=1)))
        time.sleep(0.1)  # a thread may still be on its way to sleep
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.05
