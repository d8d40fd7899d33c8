"""What a self-test has found, in words: notices, advice, a report and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from device_results import AMX_DIES, GPU_DIES, PLAIN_WORKS, WORKS

from relay_gguf.doctor import bug_report as report
from relay_gguf.doctor.advice import amx_advice, notices, verdict_lines
from relay_gguf.doctor.result import NO_AMX, PLAIN_CPU, Verdict
from relay_gguf.machine.cpu import has_amx


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


@pytest.mark.thorough
def test_the_command_prints_json() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "relay_gguf", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = Verdict.from_json(json.loads(run.stdout))
    assert found.of(PLAIN_CPU) is not None
