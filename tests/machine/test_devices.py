"""GPUs that llama.cpp has: which of them it uses, how large and how fast each is."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.llama import backends
from relay_gguf.llama import inventory as machine
from relay_gguf.llama.backends import CPU, GPU, IGPU, Device, described, used
from relay_gguf.machine import drivers, wheels
from relay_gguf.machine.cgroup import NO_LIMIT, memory_limits
from relay_gguf.machine.cpu import physical_cores, usable_cpus
from relay_gguf.machine.devices import Gpu, Ram
from relay_gguf.machine.drivers import GraphicsCard

# GPUs that llama.cpp has


CUDA0 = Device("CUDA0", "NVIDIA GeForce RTX 3060", GPU, "CUDA", 11, 12, "0000:01:00.0")
CUDA1 = Device("CUDA1", "NVIDIA GeForce RTX 3060", GPU, "CUDA", 10, 12, "0000:02:00.0")
VULKAN0 = Device("Vulkan0", "NVIDIA GeForce RTX 3060", GPU, "Vulkan", 9, 12, "0000:01:00.0")
VULKAN1 = Device("Vulkan1", "AMD Radeon RX 7600 (RADV NAVI33)", GPU, "Vulkan", 7, 8, "")
INTEL = Device("Vulkan2", "Intel(R) UHD Graphics", IGPU, "Vulkan", 3, 4, "0000:00:02.0")
INTEL_AGAIN = Device("SYCL0", "Intel(R) UHD Graphics", IGPU, "SYCL", 3, 4, "")
METAL = Device("MTL0", "Apple M3 Max", GPU, "MTL", 20, 24)
SERVER = Device("RPC0", "192.0.2.1:50052", GPU, "RPC", 5, 6)
PROCESSOR = Device("CPU", "AMD EPYC", CPU, "CPU", 16, 16)
BLAS = Device("BLAS", "Accelerate", 3, "BLAS")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([PROCESSOR], []),
        ([BLAS, PROCESSOR], []),
        ([CUDA0, CUDA1, PROCESSOR], [CUDA0, CUDA1]),
        ([CUDA0, INTEL, PROCESSOR], [CUDA0]),
        ([INTEL, CUDA0, CUDA1, PROCESSOR], [CUDA0, CUDA1]),
        ([INTEL, PROCESSOR], [INTEL]),
        ([INTEL, INTEL_AGAIN, PROCESSOR], [INTEL]),
        ([CUDA0, VULKAN0, VULKAN1, PROCESSOR], [CUDA0, VULKAN1]),
        ([VULKAN1, VULKAN1, PROCESSOR], [VULKAN1, VULKAN1]),  # without an id nobody can tell
        ([CUDA0, SERVER, PROCESSOR], [SERVER, CUDA0]),
        ([INTEL, SERVER, PROCESSOR], [SERVER, INTEL]),
        ([METAL, BLAS, PROCESSOR], [METAL]),
    ],
)
def test_what_llama_cpp_uses_of_what_ggml_lists(
    listed: list[Device], expected: list[Device]
) -> None:
    assert used(listed) == tuple(expected)


@given(st.permutations([CUDA0, CUDA1, VULKAN0, VULKAN1, INTEL, INTEL_AGAIN, SERVER, PROCESSOR]))
def test_no_card_is_used_twice(listed: list[Device]) -> None:
    found = used(listed)
    assert found[0] == SERVER
    ids = [device.id for device in found if device.id]
    assert len(ids) == len(set(ids)) == 2
    assert {device.kind for device in found} == {GPU}
    assert [device for device in listed if device in found[1:]] == list(found[1:])


def test_devices_get_memory_and_bandwidth_of_their_cards() -> None:
    unknown = Device("SYCL0", "Intel Arc", IGPU, "SYCL")
    amd_mac = Device("MTL0", "AMD Radeon Pro 5500M", GPU, "MTL", 4, 4)
    known = [
        GraphicsCard("NVIDIA GeForce RTX 3060", "NVIDIA", 12, "0000:01:00.0", 360e9),
        GraphicsCard("NVIDIA A40", "NVIDIA", 48, "0000:07:00.0", 696e9),
    ]
    moved = Device("CUDA0", "NVIDIA A40 MIG", GPU, "CUDA", 1, 2, "0000:07:00.0")
    found = described([CUDA0, VULKAN1, METAL, unknown, amd_mac, moved], Ram(16, 8), known)
    assert found == (
        Gpu("CUDA0", "NVIDIA GeForce RTX 3060", "CUDA", 11, 12, bandwidth=360e9),
        Gpu("Vulkan1", "AMD Radeon RX 7600 (RADV NAVI33)", "Vulkan", 7, 8),
        Gpu("MTL0", "Apple M3 Max", "Metal", 20, 24, unified=True, bandwidth=300e9),
        Gpu("SYCL0", "Intel Arc", "SYCL", 8, 16, unified=True),  # reported nothing
        Gpu("MTL0", "AMD Radeon Pro 5500M", "Metal", 4, 4),
        Gpu("CUDA0", "NVIDIA A40 MIG", "CUDA", 1, 2, bandwidth=696e9),
    )
    assert described([unknown], None, [])[0].total == 0


def test_ggml_is_asked_in_silence() -> None:
    code = "from relay_gguf.llama import backends as d; print(d.gpus() is not None, d.cpu())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert run.stdout.startswith("True ")


def test_ggml_without_its_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_libraries", lambda: iter([]))
    assert backends.devices() == ()
    assert backends.gpus() == ()
    assert backends.cpu() == ""


# This machine


def test_this_machine_is_within_its_own_limits() -> None:
    assert 1 <= physical_cores() <= len(usable_cpus()) <= (os.cpu_count() or 1)
    assert all(0 <= left <= limit < NO_LIMIT for limit, left in memory_limits())
    found = machine.this_machine()
    assert 0 < found.available <= found.ram <= psutil.virtual_memory().total
    assert 1e7 < found.bandwidth < 1e14
    assert found.advice.count("\n") <= 1
    assert machine.this_machine().bandwidth == found.bandwidth  # measured once
    assert isinstance(drivers.cards(), tuple)
    assert wheels.this_environment().version
    assert ctypes.sizeof(backends._Props) > 5 * ctypes.sizeof(ctypes.c_void_p)
