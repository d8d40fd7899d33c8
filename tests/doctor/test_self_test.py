"""llama.cpp is asked in a child process whether it works here; what dies there is not used."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import broken
import numpy as np
import pytest
from device_results import AMX_DIES, PLAIN_WORKS, WORKS
from thorough import cases

from relay_gguf import LlamaEngine
from relay_gguf.doctor import self_test as asking
from relay_gguf.doctor import tiny_model
from relay_gguf.doctor.result import CPU, PLAIN_CPU, TOLERANCE, Verdict
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama import load as loading
from relay_gguf.llama import native
from relay_gguf.llama.log import LogLines
from relay_gguf.sampling import SamplingParams

# The real library, on this machine


def test_this_machine_computes_what_numpy_computes() -> None:
    devices: list[str] = []
    found = asking.ask(thorough=True, on_device=devices.append)
    assert devices[:2] == [CPU, PLAIN_CPU]
    for name in (CPU, PLAIN_CPU):
        result = found.of(name)
        assert result is not None
        assert result.works
        assert 0 < result.error <= TOLERANCE
        assert result.token > 0
        assert result.batch > 0
        assert "CPU" in result.buffers or "AMX" in result.buffers
    assert found.processor == CPU
    assert not found.trouble
    assert found.of(CPU).description  # type: ignore[union-attr]


@pytest.mark.parametrize("ggml_type", tiny_model.TYPES)
def test_any_wrong_tensor_is_far_beyond_the_tolerance(ggml_type: str) -> None:
    model = tiny_model.make(ggml_type)
    tokens = list(range(41))
    right = tiny_model.logits(model, tokens)[-1]
    for name in tiny_model.SHAPES:
        tensor = f"blk.0.{name}"
        upside_down = {**model.values, tensor: model.values[tensor][::-1]}
        wrong = tiny_model.logits(replace(model, values=upside_down), tokens)[-1]
        error = float(np.sqrt(np.mean((wrong - right) ** 2) / right.var()))
        assert error > 3 * TOLERANCE, tensor


def test_it_runs_without_extra_buffers(pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done about a processor on which AMX dies, on this one: the same words."""
    q8 = pico.with_name("pico-Q8_0.gguf")
    params = native.lib.llama_model_quantize_default_params()
    params.ftype = native.lib.LLAMA_FTYPE_MOSTLY_Q4_0
    native.lib.llama_model_quantize(os.fsencode(pico), os.fsencode(q8), params)
    said, buffers = [], []
    for found in (Verdict((WORKS,)), Verdict((AMX_DIES, PLAIN_WORKS))):
        monkeypatch.setattr(loading, "verdict", lambda found=found: found)
        with LogLines() as lines, LlamaEngine(q8, LoadOptions(n_ctx=256)) as engine:
            prompt = engine.tokenize("hello there, how are you today?")
            steps = list(engine.generate(prompt, SamplingParams(temperature=0, max_tokens=5)))
            said.append(len(steps))
        buffers.append(lines.weights)
    assert buffers[1] == ["CPU"]
    assert said[0] == said[1] > 2


# A library that dies


def test_a_device_that_dies_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another signal than those below, SIGILL at the import and SIGABRT at a GPU."""
    monkeypatch.syspath_prepend(broken.package(tmp_path))
    monkeypatch.setenv("BROKEN", "SIGSEGV:extra")
    found = asking.ask()
    cpu, plain = found.of(CPU), found.of(PLAIN_CPU)
    detail = "SIGSEGV at several tokens of Q8_0"
    assert (cpu.outcome, cpu.detail) == ("died", detail)  # type: ignore[union-attr]
    assert plain is not None
    assert plain.works
    assert found.processor == PLAIN_CPU


@pytest.mark.parametrize("how", cases(["wrong:extra", "nan:extra"], "wrong:extra"))
def test_wrong_numbers_are_not_used(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(broken.package(tmp_path))
    monkeypatch.setenv("BROKEN", how)
    found = asking.ask()
    assert found.of(CPU).outcome == "wrong"  # type: ignore[union-attr]
    assert found.processor == PLAIN_CPU


@pytest.mark.parametrize("how", cases(["SIGSEGV:extra", "wrong:extra"], "SIGSEGV:extra"))
def test_a_chat_goes_on_with_what_works(how: str, pico: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relay_gguf", "chat", str(pico), "--max-tokens", "3"]
    run = subprocess.run(
        command,
        input="hello\n",
        capture_output=True,
        text=True,
        env=broken.environment(tmp_path, how),
        check=False,
    )
    assert run.returncode == 0
    assert "<user> " in run.stdout
    (notice,) = [line for line in run.stdout.splitlines() if "llama.cpp's fastest code" in line]
    assert "it runs without that, slower. `relay-gguf doctor` shows details" in notice


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "SIGILL:import",
            "relay-gguf: llama.cpp cannot be used here: it died of SIGILL while loading its "
            "library. It may have been built for another processor, or a driver is broken. "
            "`relay-gguf doctor` shows what to do.",
        ),
        pytest.param(
            "SIGSEGV:always",
            "relay-gguf: This build of llama.cpp does not work on this processor: its self-test "
            "ended or gave wrong numbers. `relay-gguf doctor` shows which, and a command that "
            "compiles llama.cpp.",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_an_honest_answer_where_nothing_works(
    how: str, said: str, pico: Path, tmp_path: Path
) -> None:
    environment = broken.environment(tmp_path, how)
    command = [sys.executable, "-m", "relay_gguf"]
    chat = subprocess.run(
        [*command, "chat", str(pico)],
        input="hello\n",
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (chat.returncode, chat.stdout, chat.stderr) == (1, "", f"{said}\n")
    doctor = subprocess.run(
        [*command, "doctor"], capture_output=True, text=True, env=environment, check=False
    )
    assert doctor.returncode == 1
    assert "build.cmake" in doctor.stdout  # the command that compiles it
    assert doctor.stderr == ""


def test_a_library_that_does_not_load_says_why(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "relay_gguf", "doctor"],
        capture_output=True,
        text=True,
        env=broken.environment(tmp_path, "exception:import"),
        check=False,
    )
    assert run.returncode == 1
    assert "a library is missing" in run.stdout


def test_llama_cpp_without_amx(smollm2: Path) -> None:
    """On a processor without AMX nothing changes; with it, its buffers are gone."""
    code = """
import ctypes, faulthandler, sys
faulthandler.enable()  # which has a signal stack of its own, and keeps it
from relay_gguf.llama import amx
before, after = amx._Stack(), amx._Stack()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(before))
names = amx.refuse_amx()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(after))
print("AMX" in names, before.base == after.base, before.size == after.size)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False True True\n"
