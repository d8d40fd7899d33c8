"""What this machine has: cores and memory, container limits included."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
CPU_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that llama.cpp can use, in its order. Sizes in bytes, bandwidth in bytes a second."""

    name: str  # CUDA0, MTL0, Vulkan0
    description: str  # NVIDIA GeForce RTX 3060
    backend: str  # CUDA, Metal, Vulkan
    free: int
    total: int
    unified: bool = False  # its memory is the computer's
    bandwidth: float | None = None  # None where it cannot be told


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run a model on. Sizes in bytes, bandwidth in bytes a second."""

    ram: int  # in all, or a container's limit
    available: int  # that a new program can use now
    bandwidth: float  # of the RAM, as this process's threads read it
    gpus: tuple[Gpu, ...] = ()
    advice: str = ""  # a GPU is there that this build of llama.cpp cannot use, and what to do


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _sysctl(name: str) -> int | None:
    """A macOS kernel value; None where there is no such value."""
    try:
        run = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
        return int(run.stdout)
    except (OSError, ValueError):
        return None


def usable_cpus() -> set[int]:
    """Logical CPUs that this process may run on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cpu_quota(cgroup: Path = CGROUP) -> int | None:
    """Whole CPUs that the container grants, at least 1; None without a limit (cgroup v2)."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota.isdigit() or not period.isdigit():
        return None
    return max(1, int(quota) // int(period))


def physical_cores() -> int:
    """Cores to evaluate on: hyperthreads share the units that matrix products need.

    On Linux the cores of this process's CPUs; on a Mac the performance cores. Elsewhere half of
    the logical CPUs.
    """
    cores: int | None = None
    if sys.platform == "darwin":
        cores = _sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu")
    elif sys.platform == "linux":
        siblings = {
            _read(CPU_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu)
            for cpu in usable_cpus()
        }
        cores = len(siblings)
    if cores is None:
        cores = max(1, len(usable_cpus()) // 2)
    return max(1, min(cores, cpu_quota() or cores))


def available_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Bytes of RAM that a new program can use, files cached in RAM counted as free.

    None where this cannot be told.
    """
    if sys.platform == "darwin":
        return _sysctl("hw.memsize")
    if sys.platform == "win32":
        return _windows_memory()
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(meminfo), re.MULTILINE)
    if match is None:
        return None
    available = int(match[1]) * 1024
    limit, used = _read(cgroup / "memory.max"), _read(cgroup / "memory.current")
    if limit.isdigit() and used.isdigit():
        cached = re.search(r"^file (\d+)$", _read(cgroup / "memory.stat"), re.MULTILINE)
        in_use = int(used) - (int(cached[1]) if cached else 0)
        available = min(available, max(0, int(limit) - in_use))
    return available


def _windows_memory() -> int | None:
    """`ullAvailPhys` of GlobalMemoryStatusEx: the struct is two DWORDs and seven DWORD64s."""
    status = (ctypes.c_uint64 * 8)()
    status[0] = ctypes.sizeof(status)  # dwLength; the upper half, dwMemoryLoad, is an output
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status[2])
