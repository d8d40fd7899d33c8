"""llama.cpp is asked in a child process whether it works here; what dies there is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pytest
from homeless import CacheFolder

from relay_gguf import LlamaEngine
from relay_gguf.doctor import bug_report as report
from relay_gguf.doctor import self_test as asking
from relay_gguf.doctor import tiny_model
from relay_gguf.doctor import verdict as kept
from relay_gguf.doctor.advice import amx_advice, notices, verdict_lines
from relay_gguf.doctor.fingerprint import fingerprint
from relay_gguf.doctor.result import CPU, NO_AMX, PLAIN_CPU, TOLERANCE, DeviceResult, Verdict
from relay_gguf.doctor.self_test import Patience
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama import load as loading
from relay_gguf.llama import native
from relay_gguf.llama.log import LogLines
from relay_gguf.machine.cpu import has_amx
from relay_gguf.sampling import SamplingParams

WORKS = DeviceResult(CPU, "works", "", "Some CPU", "CPU", ("CPU",), 0.02, 0.002, 0.0007)
AMX_DIES = replace(WORKS, outcome="died", detail="SIGSEGV at several tokens of Q8_0")
PLAIN_WORKS = replace(WORKS, device=PLAIN_CPU)
GPU_DIES = DeviceResult("CUDA0", "died", "SIGABRT at loading of Q8_0", "Tesla K80", "CUDA")


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


@pytest.mark.parametrize("how", ["wrong:extra", "nan:extra"])
def test_wrong_numbers_are_not_used(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(broken.package(tmp_path))
    monkeypatch.setenv("BROKEN", how)
    found = asking.ask()
    assert found.of(CPU).outcome == "wrong"  # type: ignore[union-attr]
    assert found.processor == PLAIN_CPU


@pytest.mark.parametrize("how", ["SIGSEGV:extra", "wrong:extra"])
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


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "SIGILL:import",
            "relay-gguf: llama.cpp cannot be used here: it died of SIGILL while loading its "
            "library. It may have been built for another processor, or a driver is broken. "
            "`relay-gguf doctor` shows what to do.",
        ),
        (
            "SIGSEGV:always",
            "relay-gguf: This build of llama.cpp does not work on this processor: its self-test "
            "ended or gave wrong numbers. `relay-gguf doctor` shows which, and a command that "
            "compiles llama.cpp.",
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


# Children that play a machine


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


# The verdict is kept


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a child would have been started."""
    calls: list[int] = []

    def ask(**_: object) -> Verdict:
        calls.append(1)
        return Verdict((AMX_DIES, PLAIN_WORKS, GPU_DIES))

    monkeypatch.setattr(kept, "ask", ask)
    path().unlink(missing_ok=True)
    return calls


def path() -> Path:
    found = kept.kept_path()
    assert found is not None
    return found


def fresh() -> Verdict:
    """As a new process would see it."""
    kept.verdict.cache_clear()
    return kept.verdict()


@pytest.fixture(autouse=True)
def _as_found() -> object:
    yield
    kept.verdict.cache_clear()


def test_the_verdict_is_asked_once(asked: list[int]) -> None:
    first = fresh()
    assert fresh() == first
    assert first.broken == {"CUDA0"}
    assert asked == [1]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"KEY": 3}', b'{"KEY": {}}', b"\xff\xfe"])
def test_a_damaged_file_is_asked_anew(asked: list[int], damage: bytes) -> None:
    fresh()
    path().write_bytes(damage.replace(b"KEY", fingerprint().encode()))
    assert fresh().processor == PLAIN_CPU
    assert asked == [1, 1]
    fresh()
    assert asked == [1, 1]


@pytest.mark.parametrize(
    "change", ["another machine", "a new library", "a new driver", "a variable"]
)
def test_something_else_is_asked_anew(
    asked: list[int], change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    driver.write_text("NVRM version: 570", "utf-8")
    library = tmp_path / "llama" / "libllama.so"
    library.parent.mkdir()
    library.write_bytes(b"old")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(library.parent))
    monkeypatch.setattr("relay_gguf.doctor.fingerprint.DRIVERS", (str(driver),))
    fresh()
    if change == "another machine":
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
    elif change == "a new library":
        library.write_bytes(b"newer")
    elif change == "a new driver":
        driver.write_text("NVRM version: 580", "utf-8")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    fresh()
    assert asked == [1, 1]


def test_a_home_folder_that_serves_two_machines_keeps_both(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "one", "two"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        fresh()
    assert asked == [1, 1]


def test_a_folder_that_cannot_be_written_is_no_error(asked: list[int], tmp_path: Path) -> None:
    folder = path().parent
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"")  # a file in the folder's place
    assert fresh().processor == PLAIN_CPU


@pytest.mark.parametrize(
    "found", [RuntimeError("no home"), OSError("no home"), Path("~/.cache/relay-gguf")]
)
def test_a_user_without_a_home_is_asked_each_time(
    asked: list[int], found: Exception | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.folders.DIRS", CacheFolder(found))
    for _ in range(2):
        assert fresh().processor == PLAIN_CPU
    assert asked == [1, 1]


def test_what_may_be_otherwise_next_time_is_not_kept(asked: list[int]) -> None:
    for found in (
        Verdict(trouble="a library is missing"),
        Verdict(fatal="it died of SIGILL while loading its library"),
        Verdict((replace(WORKS, outcome="silent", detail=" at loading of Q8_0"),)),
        Verdict((replace(GPU_DIES, outcome="silent", detail="SIGKILL at loading of Q8_0"),)),
    ):
        kept.keep(path(), "key", found)
        assert kept.looked_up(path(), "key") is None


def test_it_can_be_left_out(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SELFTEST", "0")
    assert fresh() == Verdict()
    assert asked == []


# In words


def test_a_broken_machine_in_words() -> None:
    lines = verdict_lines(Verdict((AMX_DIES, PLAIN_WORKS, GPU_DIES)), "pip install it")
    assert list(lines) == [
        "device      self-test   off  40 tokens  a token  weights in",
        "CPU         died of SIGSEGV at several tokens of Q8_0 (Some CPU)",
        "CPU, plain  works      2.0%     2.0 ms   0.7 ms  CPU",
        "CUDA0       died of SIGABRT at loading of Q8_0 (Tesla K80)",
        "llama.cpp's fastest code for this processor died of SIGSEGV at several tokens of Q8_0: it "
        "runs without that, slower.",
        "CUDA0 (Tesla K80) is not used: it died of SIGABRT at loading of Q8_0.",
        "This build of llama.cpp is not right for this processor. Compile it: pip install it",
        "A broken GPU mostly needs another driver, or a build of llama.cpp for the installed "
        "driver: `relay-gguf devices` names one.",
    ]


def test_all_is_well_in_words() -> None:
    assert notices(Verdict((WORKS,))) == []
    without_amx = Verdict((AMX_DIES, replace(WORKS, device=NO_AMX)))
    assert "it runs without AMX, slower." in notices(without_amx)[0]
    assert list(verdict_lines(Verdict((WORKS,)), "")) == [
        "device  self-test   off  40 tokens  a token  weights in",
        "CPU     works      2.0%     2.0 ms   0.7 ms  CPU",
        "All of it works: logits within 5% of a reference computed in NumPy, for Q8_0, Q4_K, Q6_K "
        "and F16.",
    ]


@pytest.mark.parametrize(
    ("flags", "build", "advised"),
    [
        ("fpu avx512f amx_bf16 amx_tile amx_int8", "CPU : AVX512 = 1 | OPENMP = 1 |", True),
        ("fpu avx512f amx_bf16 amx_tile amx_int8", "CPU : AVX512 = 1 | AMX_INT8 = 1 |", False),
        ("fpu avx512f", "CPU : AVX512 = 1 | OPENMP = 1 |", False),
    ],
)
def test_a_processor_whose_amx_lies_idle(
    flags: str, build: str, advised: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    advice = amx_advice(build, has_amx(tmp_path), "pip install it")
    assert advice.endswith("one that does: pip install it") == advised
    assert bool(advice) == advised
    assert not has_amx(tmp_path / "elsewhere")


def test_a_report_names_neither_the_home_folder_nor_who_lives_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "margarethe"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("CUDA_PATH", str(home / "cuda"))
    monkeypatch.setenv("GGML_BACKEND_PATH", str(home / "secret.so"))
    monkeypatch.setattr("platform.node", lambda: "her-laptop")
    words = [f"{home}/models by margarethe on her-laptop"]
    text = "\n".join(report.report_lines(Verdict((WORKS,)), words, "CPU : AVX2 = 1"))
    assert "~/models by … on …" in text
    assert "GGML_BACKEND_PATH" in text
    for hidden in ("margarethe", "her-laptop", "secret"):
        assert hidden not in text
    assert "llama-cpp-python 0.3." in text


def test_the_command_prints_json() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "relay_gguf", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = Verdict.from_json(json.loads(run.stdout))
    assert found.of(PLAIN_CPU) is not None


# Waiting


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}),
        ({"OMP_NUM_THREADS": "2"}, {**native.SHORT_SPIN, "OMP_NUM_THREADS": "2"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "infinity"}, {"GOMP_SPINCOUNT": "infinity"}),
        ({"KMP_BLOCKTIME": "200"}, {"KMP_BLOCKTIME": "200"}),
    ],
)
def test_threads_spin_shortly_unless_told_otherwise(
    given: dict[str, str], then: dict[str, str]
) -> None:
    native.spin_shortly(given)
    assert given == then
