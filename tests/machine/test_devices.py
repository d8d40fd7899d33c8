"""What a machine has: made-up machines, told by made-up files and drivers; and this one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.llama import backends
from relay_gguf.llama import inventory as machine
from relay_gguf.llama.backends import CPU, GPU, IGPU, Device, described, used
from relay_gguf.machine import devices, drivers, wheels
from relay_gguf.machine.cgroup import NO_LIMIT, cpu_quota, groups, memory_limits
from relay_gguf.machine.cpu import physical_cores, usable_cpus
from relay_gguf.machine.devices import Gpu, Ram, available_memory, ram
from relay_gguf.machine.drivers import GraphicsCard

GIB = 1 << 30
NO_LIMIT_V1 = "9223372036854771712"


class Host(NamedTuple):
    """What psutil says."""

    total: int
    available: int


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A computer of 16 GiB, half of it free."""
    found = Host(16 * GIB, 8 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: found)
    return found


def proc(tmp_path: Path, cgroup: str, mounts: str, **files: str) -> Path:
    """A /proc and the control groups that it tells of; names of files with / as __, . as _dot_."""
    for name, text in files.items():
        path = tmp_path / "cg" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    (tmp_path / "self" / "mountinfo").write_text(mounts.replace("@", str(tmp_path / "cg")))
    return tmp_path


V2 = "30 23 0:26 / @ rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
V1 = (
    "35 31 0:32 / @/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / @/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "expected"),
    [
        pytest.param("", "", {}, (16, 8), id="no groups"),
        pytest.param("0::/\n", V2, {}, (16, 8), id="the root has no limits"),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{2 * GIB}\n", "memory_dot_current": f"{GIB}"},
            (2, 1),
            id="a container's own view",
        ),
        pytest.param(
            "0::/a/b\n",
            V2,
            {
                "a__b__memory_dot_max": "max",
                "a__b__memory_dot_current": "5",
                "a__memory_dot_max": f"{4 * GIB}",
                "a__memory_dot_current": f"{3 * GIB}",
            },
            (4, 1),
            id="a group above has the limit",
        ),
        pytest.param(
            "0::/a/b\n",
            V2,
            {
                "a__b__memory_dot_max": f"{6 * GIB}",
                "a__b__memory_dot_current": f"{5 * GIB}",
                "a__memory_dot_max": f"{4 * GIB}",
                "a__memory_dot_current": f"{GIB}",
            },
            (4, 1),
            id="one limits the size, the other what is left",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {
                "memory_dot_max": f"{8 * GIB}",
                "memory_dot_high": f"{3 * GIB}",
                "memory_dot_current": f"{GIB}",
            },
            (3, 2),
            id="stalled before it is killed",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {
                "memory_dot_max": f"{8 * GIB}",
                "memory_dot_current": f"{8 * GIB}",
                "memory_dot_stat": f"anon 5\nfile {7 * GIB}\nshmem {4 * GIB}\n"
                f"inactive_file {2 * GIB}\nactive_file {GIB}\n",
            },
            (8, 3),
            id="files go, shared memory stays",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{64 * GIB}", "memory_dot_current": "0"},
            (16, 8),
            id="a limit above the computer's memory",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{GIB}", "memory_dot_current": f"{2 * GIB}"},
            (1, 0),
            id="over the limit",
        ),
        pytest.param(
            "4:memory:/job\n0::/\n",
            V1,
            {
                "memory__job__memory_dot_limit_in_bytes": f"{4 * GIB}",
                "memory__job__memory_dot_usage_in_bytes": f"{3 * GIB}",
                "memory__job__memory_dot_stat": f"cache {3 * GIB}\nactive_file 1\n"
                f"total_cache {3 * GIB}\ntotal_active_file {GIB}\ntotal_inactive_file {GIB}\n",
                "memory__memory_dot_limit_in_bytes": NO_LIMIT_V1,
            },
            (4, 3),
            id="v1",
        ),
        pytest.param(
            "4:memory:/docker/abc\n",
            V1.replace("/ @/memory", "/docker/abc @/memory"),
            {
                "memory__memory_dot_limit_in_bytes": f"{4 * GIB}",
                "memory__memory_dot_usage_in_bytes": f"{GIB}",
            },
            (4, 3),
            id="v1 in a container that sees its host's path",
        ),
        pytest.param(
            "0::/../sibling\n",
            V2,
            {"memory_dot_max": f"{4 * GIB}", "memory_dot_current": f"{GIB}"},
            (4, 3),
            id="a group beside the mounted one",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": "12 frogs", "memory_dot_current": ""},
            (16, 8),
            id="no number",
        ),
    ],
)
@pytest.mark.usefixtures("host")
def test_memory_within_containers(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], expected: tuple[int, int]
) -> None:
    total, available = expected
    assert ram(proc(tmp_path, cgroup, mounts, **files)) == Ram(total * GIB, available * GIB)


@given(st.lists(st.tuples(st.integers(0, 1 << 62), st.integers(0, 1 << 62)), max_size=4))
def test_a_container_never_has_more_than_the_computer(limits: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: Host(16 * GIB, 8 * GIB))
        patch.setattr(devices, "memory_limits", lambda _: iter(limits))
        found = ram()
    assert found is not None
    assert 0 <= found.available <= found.total <= 16 * GIB
    assert found.available <= 8 * GIB
    assert all(found.total <= limit and found.available <= left for limit, left in limits)


def test_memory_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", hidden)
    assert ram() is None
    assert available_memory() is None


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "cpus"),
    [
        ("0::/\n", V2, {"cpu_dot_max": "200000 100000\n"}, 2),
        ("0::/\n", V2, {"cpu_dot_max": "50000 100000"}, 1),
        ("0::/\n", V2, {"cpu_dot_max": "max 100000"}, None),
        ("0::/\n", V2, {}, None),
        ("", "", {}, None),
        ("0::/a\n", V2, {"a__cpu_dot_max": "max 100000", "cpu_dot_max": "300000 100000"}, 3),
        ("0::/a\n", V2, {"a__cpu_dot_max": "200000 100000", "cpu_dot_max": "300000 100000"}, 2),
        (
            "3:cpu,cpuacct:/job\n",
            V1,
            {
                "cpu,cpuacct__job__cpu_dot_cfs_quota_us": "400000",
                "cpu,cpuacct__job__cpu_dot_cfs_period_us": "100000",
                "cpu,cpuacct__cpu_dot_cfs_quota_us": "-1",
                "cpu,cpuacct__cpu_dot_cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_cpus_within_containers(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], cpus: int | None
) -> None:
    assert cpu_quota(proc(tmp_path, cgroup, mounts, **files)) == cpus


def test_a_mount_with_a_space(tmp_path: Path) -> None:
    made = proc(tmp_path, "0::/a\n", V2.replace("@", "@/my\\040groups"))
    folder = tmp_path / "cg" / "my groups"
    assert list(groups("memory", made)) == [folder / "a", folder]


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


# Cards that the system has


class Driver:
    """A made-up libcuda, which has nothing that makes a context."""

    def __init__(self, *names: str, version: int = 12040, broken: str = "") -> None:
        self.names, self.version, self.broken = names, version, broken

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu") or "Ctx" in name or name == self.broken:
            raise AttributeError(name)
        return lambda *arguments: self.call(name, *arguments)

    def call(self, name: str, *arguments: Any) -> int:
        out = getattr(arguments[0], "_obj", arguments[0])
        if name == "cuInit":
            return 0 if self.names else 100
        if name == "cuDeviceGetName":
            out.value = self.names[arguments[2].value].encode()
        elif name == "cuDeviceGetPCIBusId":
            out.value = f"0000:C{arguments[2].value}:00.0".encode()
        elif name == "cuDeviceGetAttribute":
            out.value = {36: 7_501_000, 37: 192, 75: 8, 76: 6}[arguments[1]]
        else:
            out.value = {
                "cuDeviceGetCount": len(self.names),
                "cuDriverGetVersion": self.version,
                "cuDeviceTotalMem_v2": 12 * GIB,
                "cuDeviceGet": arguments[-1],
            }[name]
        return 0


def test_nvidia_cards_are_asked_of_the_driver() -> None:
    first, second = drivers.nvidia(Driver("NVIDIA GeForce RTX 3060", "NVIDIA RTX A2000"))
    assert first == GraphicsCard(
        "NVIDIA GeForce RTX 3060",
        "NVIDIA",
        12 * GIB,
        "0000:c0:00.0",
        360.048e9,
        cuda=(12, 4),
        capability=(8, 6),
    )
    assert (second.name, second.pci) == ("NVIDIA RTX A2000", "0000:c1:00.0")


@pytest.mark.parametrize(
    "driver",
    [None, Driver(), object(), *(Driver("X", broken=f"cu{n}") for n in ("Init", "DeviceGetName"))],
)
def test_no_nvidia_cards(driver: Any) -> None:
    assert drivers.nvidia(driver) == ()


def test_where_nvidias_driver_is() -> None:
    asked = []

    def load(name: str) -> str:
        asked.append(name)
        if "wsl" not in name:
            raise OSError(name)
        return "driver"

    assert drivers.cuda_driver("linux", load) == "driver"
    assert asked == ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
    assert drivers.cuda_driver("win32", load) is None
    assert drivers.cuda_driver("darwin", load) is None


@pytest.mark.parametrize(
    ("chip", "bandwidth"),
    [
        ("Apple M1", 68e9),
        ("Apple M4 Max", 410e9),
        ("Apple M2 Ultra", 800e9),
        ("Apple M99", None),
        ("AMD EPYC", None),
    ],
)
def test_apple_chips_have_a_bandwidth(chip: str, bandwidth: float | None) -> None:
    assert drivers.apple_bandwidth(chip) == bandwidth
    found = drivers.apple(chip, 16 * GIB)
    assert bool(found) == chip.startswith("Apple")
    assert all(card == GraphicsCard(chip, "Apple", 16 * GIB, "", bandwidth) for card in found)


def test_amd_cards_are_found_in_sysfs(tmp_path: Path) -> None:
    def card(number: int, vendor: str, gib: float, name: str = "") -> None:
        device = tmp_path / "devices" / f"0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "mem_info_vram_total").write_text(f"{int(gib * GIB)}\n")
        if name:
            (device / "product_name").write_text(name + "\n")
        (tmp_path / "drm" / f"card{number}").mkdir(parents=True)
        (tmp_path / "drm" / f"card{number}" / "device").symlink_to(device)

    card(0, "0x1002", 24)
    card(1, "0x1002", 0.5)  # a processor's own graphics
    card(2, "0x8086", 8)
    card(3, "0x1002", 64, "AMD Instinct MI210")
    (tmp_path / "drm" / "card0-DP-1").mkdir()
    assert drivers.amd(tmp_path / "drm") == (
        GraphicsCard("AMD card of 24 GiB", "AMD", 24 * GIB, "0000:00:00.0"),
        GraphicsCard("AMD Instinct MI210", "AMD", 64 * GIB, "0000:03:00.0"),
    )
    assert drivers.amd(tmp_path / "none") == ()


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
