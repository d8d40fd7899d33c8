"""llama.cpp's library is loaded after what it needs, or it is said what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relay_gguf.llama import native


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the one of NVIDIA's packages: CUDA 12's three and a broken one of 13."""
    files = [
        "cublas/lib/libcublas.so.12",
        "cublas/lib/libcublasLt.so.12",
        "cublas/lib/libnvblas.so.12",
        "cuda_runtime/lib/libcudart.so.12",
        "cu13/lib/libcudart.so.13",
    ]
    for file in files:
        path = tmp_path / "nvidia" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "nvidia"


def test_nvidias_libraries_come_first_each_after_what_it_needs(nvidia: Path) -> None:
    loaded = []

    def load(name: str) -> None:
        if name.endswith(".so.13"):
            raise OSError("file too short")
        loaded.append(Path(name).name)

    native.preload(load, [nvidia])
    assert loaded == ["libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12"]


def test_without_nvidias_packages_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.platform", "linux")
    native.preload(lambda name: pytest.fail(name))


def test_a_llama_cpp_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    command = [sys.executable, "-m", "relay_gguf", "chat", "--demo"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("relay-gguf: llama-cpp-python cannot be loaded: ")
    assert "nvidia-cublas-cu12" in line


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
