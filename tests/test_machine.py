"""What a machine has, read from the files of made-up machines; and whether a model fits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pico import write_pico

from relay_gguf import LlamaEngine, llama_load
from relay_gguf.devices import available_memory, cpu_quota, physical_cores
from relay_gguf.errors import MemoryShortError
from relay_gguf.llama_load import measure
from relay_gguf.memory import GIB, MemoryNeed, require

MEMINFO = "MemTotal:  16000000 kB\nMemFree: 100 kB\nMemAvailable:    8000000 kB\n"


def files(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ({}, 8_192_000_000),
        ({"memory_max": "max", "memory_current": "5"}, 8_192_000_000),
        ({"memory_max": "2000000000", "memory_current": "500000000"}, 1_500_000_000),
        (
            {
                "memory_max": "2000000000",
                "memory_current": "1900000000",
                "memory_stat": "anon 5\nfile 1500000000\n",
            },
            1_600_000_000,
        ),
        ({"memory_max": "99999999999", "memory_current": "1"}, 8_192_000_000),
    ],
)
def test_memory_within_a_container(
    tmp_path: Path, cgroup: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMINFO)
    assert available_memory(meminfo, files(tmp_path, **cgroup)) == expected


def test_memory_that_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert available_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "cpus"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_cpus_within_a_container(tmp_path: Path, quota: str, cpus: int | None) -> None:
    assert cpu_quota(files(tmp_path, cpu_max=quota)) == cpus


def test_this_machine() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)


def test_a_need_is_weights_context_and_work_space() -> None:
    need = MemoryNeed(weights=7 * GIB, kv=GIB // 2, compute=GIB // 8)
    require(need, 8 * GIB, "m.gguf", 4096)
    with pytest.raises(MemoryShortError) as error:
        require(need, 6 * GIB, "m.gguf", 4096)
    assert str(error.value) == (
        "m.gguf needs 7.6 GiB of memory (7.0 weights, 0.5 context of 4096 tokens, 0.1 work space) "
        "and this machine has 6.0 GiB left. Take a smaller quantization of the model."
    )
    with pytest.raises(MemoryShortError, match="smaller --n-ctx would do"):
        require(MemoryNeed(GIB, 8 * GIB, 0), 6 * GIB, "m.gguf", 65536)


def test_measured_by_a_load_without_weights(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "p.gguf", smollm2)
    need = measure(path, 4096)
    assert need is not None
    assert need.kv == 2 * 2 * 16 * 2 * 2 * 4096  # layers, kv heads, head width, k and v, f16
    assert need.weights == 12_879_104  # every tensor of the file
    assert 0 < need.compute < 100 << 20


def test_a_model_too_big_is_refused_before_it_is_read(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_load, "available_memory", lambda: 100 << 20)
    with pytest.raises(MemoryShortError, match=r"this machine has 0\.1 GiB left"):
        LlamaEngine(smollm2)
