"""Children that play a machine: what dies, lies or is silent is told from what works."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.doctor import self_test as asking
from relay_gguf.doctor.advice import notices
from relay_gguf.doctor.result import CPU, Verdict
from relay_gguf.doctor.self_test import Patience


@pytest.fixture
def playing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verdict]:
    """Ask a child whose script sees `options`, has `tried` devices and can `say` lines."""
    monkeypatch.syspath_prepend(tmp_path)

    def ask(script: str, **options: Any) -> Verdict:
        (tmp_path / "played_child.py").write_text(PLAYED + textwrap.dedent(script), "utf-8")
        workers = ["attic"] if "workers" in script else []
        return asking.ask(module="played_child", workers=workers, **options)

    return ask


PLAYED = """
import json, os, signal, sys, time

options = json.loads(sys.argv[1])
fine = dict(outcome="works", error=0.01, batch=0.1, token=0.1, buffers=[], detail="")

def say(**line):
    print(json.dumps(line), flush=True)

def tried(name):
    if name in options["skip"]:
        return False
    say(stage="device", device=name, doing="loading", known={"description": name})
    return True
"""


def test_a_gpu_that_dies_does_not_take_the_others_along(playing: Callable[..., Verdict]) -> None:
    script = """
        say(stage="import"); say(stage="devices", doing="looking for devices")
        if tried("CPU"): say(result=fine)
        if tried("CUDA0"):
            say(doing="one token of Q6_K"); os.kill(os.getpid(), signal.SIGABRT)
        if tried("CUDA1"): say(result=fine)
        if tried("CUDA2"): say(result={**fine, "error": float("nan"), "detail": "Q4_K"})
        if tried("CUDA3"): say(result={**fine, "outcome": "failed", "detail": "Q8_0: no kernel"})
    """
    found = playing(script)
    assert [(f.device, f.outcome, f.detail) for f in found.results] == [
        ("CPU", "works", ""),
        ("CUDA0", "died", "SIGABRT at one token of Q6_K"),
        ("CUDA1", "works", ""),
        ("CUDA2", "wrong", "its logits are far off (Q4_K)"),
        ("CUDA3", "failed", "Q8_0: no kernel"),
    ]
    assert found.broken == {"CUDA0", "CUDA2", "CUDA3"}
    assert found.processor == CPU


@pytest.mark.parametrize(
    ("amx", "works", "tried"),
    [
        (True, {"CPU, no AMX", "CPU, plain"}, ["CPU", "CPU, no AMX"]),
        (True, {"CPU, plain"}, ["CPU", "CPU, no AMX", "CPU, plain"]),
        (True, set(), ["CPU", "CPU, no AMX", "CPU, plain"]),
        (False, {"CPU, no AMX", "CPU, plain"}, ["CPU", "CPU, plain"]),
        (False, {"CPU"}, ["CPU"]),
    ],
)
def test_the_fastest_way_that_works(
    amx: bool,
    works: set[str],
    tried: list[str],
    playing: Callable[..., Verdict],
) -> None:
    """AMX and what remains without it: ways that cannot be in one process."""
    script = f"""
        say(stage="import"); say(stage="devices")
        for name in [*options["processor"], "CUDA0"]:
            if not tried(name): continue
            if name.startswith("CPU") and name not in {sorted(works)}:
                say(doing="several tokens of Q8_0"); os.kill(os.getpid(), signal.SIGSEGV)
            say(result=fine)
    """
    found = playing(script, amx=amx)
    assert [f.device for f in found.results if f.device != "CUDA0"] == tried
    assert found.of("CUDA0") is not None
    assert found.processor == (tried[-1] if works else None)


@pytest.mark.parametrize("stage", ["workers", "devices", "device"])
def test_a_worker_that_fails_is_not_this_machines_fault(
    stage: str, playing: Callable[..., Verdict]
) -> None:
    """Nor does it hide this machine's GPUs, or take the results along."""
    found = playing(f"""
        def fail(stage):
            if stage == {stage!r} and options["workers"]: os.kill(os.getpid(), signal.SIGABRT)
        say(stage="import"); say(stage="workers", doing="connecting with attic"); fail("workers")
        say(stage="devices", doing="looking for devices"); fail("devices")
        if tried("CPU"): say(result=fine)
        if options["workers"] and tried("RPC0"):
            say(doing="one token of F16"); fail("device"); say(result=fine)
        if tried("CUDA0"): say(result=fine)
    """)
    assert not found.hidden
    assert not found.fatal
    assert found.processor == CPU
    (broken,) = found.broken
    assert broken == ("RPC0" if stage == "device" else "RPC")
    assert {f.device for f in found.results} == {"CPU", "CUDA0", broken}


def test_where_looking_for_gpus_kills_they_are_hidden(playing: Callable[..., Verdict]) -> None:
    script = """
        say(stage="import"); say(stage="devices", doing="looking for devices")
        if os.environ.get("CUDA_VISIBLE_DEVICES") != "-1": os.kill(os.getpid(), signal.SIGSEGV)
        if tried("CPU"): say(result=fine)
    """
    found = playing(script)
    assert found.hidden == asking.HIDE_GPUS
    assert found.processor == CPU
    assert "crashes when it looks for GPUs" in notices(found)[0]


def test_a_device_that_never_answers_is_given_up(playing: Callable[..., Verdict]) -> None:
    script = """
        say(stage="import"); say(stage="devices")
        if tried("CPU"): say(result=fine)
        if tried("Vulkan0"): time.sleep(60)
        if tried("Vulkan1"): say(result=fine)
    """
    found = playing(script, patience=Patience(gpu=0.5, telling=0.1))
    outcomes = {f.device: f.outcome for f in found.results}
    assert outcomes == {"CPU": "works", "Vulkan0": "silent", "Vulkan1": "works"}
    assert found.broken == {"Vulkan0"}
    assert found.lasting  # five minutes are enough, and not to be waited for again


@pytest.mark.parametrize("how", ["time.sleep(60)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_processor_that_had_no_time_is_used(how: str, playing: Callable[..., Verdict]) -> None:
    """Nothing speaks against it: the machine is busy, or short of memory."""
    script = f"""
        say(stage="import"); say(stage="devices")
        if tried("CPU"): {how}
        if tried("CUDA0"): say(result=fine)
    """
    found = playing(script, patience=Patience(processor=0.5, telling=0.1))
    assert {f.device: f.outcome for f in found.results} == {"CPU": "silent", "CUDA0": "works"}
    assert found.processor == CPU
    assert not found.lasting
    assert notices(found) == []


def test_a_test_that_cannot_be_run_stands_in_nobodys_way(
    playing: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = playing("""say(stage="import"); say(trouble="OSError: No space left on device")""")
    assert found == Verdict(trouble="OSError: No space left on device")

    def full(**_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(asking.tempfile, "TemporaryDirectory", full)
    found = asking.ask()
    assert found.trouble.startswith("The self-test cannot be run: ")
    assert found.processor == CPU
    assert not found.lasting


def test_other_words_on_its_output_are_passed_over(playing: Callable[..., Verdict]) -> None:
    script = """
        print("ggml_cuda_init: found 1 device"); print('["a list"]')
        say(stage="import"); say(stage="devices")
        if tried("CPU"): say(result=fine)
    """
    assert playing(script).of(CPU) is not None
