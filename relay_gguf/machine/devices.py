"""What this machine has: its RAM, its cores and its GPUs as values, container limits included."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from .cgroup import PROC, cpu_quota, memory_limits, text_of

CPU_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Ram:
    """The computer's memory, or a container's part of it. Bytes."""

    total: int
    available: int  # that a new program can use; files cached in it count as free


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that llama.cpp can use, in its order. Sizes in bytes, bandwidth in bytes a second.

    A device of another machine counts as one: its backend is RPC, its description the address.
    """

    name: str  # CUDA0, MTL0, Vulkan0, RPC0
    description: str  # NVIDIA GeForce RTX 3060
    backend: str  # CUDA, Metal, Vulkan, RPC
    free: int
    total: int
    unified: bool = False  # its memory is the computer's
    bandwidth: float | None = None  # None where it cannot be told
    latency: float = 0.0  # seconds from a question to a worker until its answer


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run a model on. Sizes in bytes, bandwidth in bytes a second."""

    ram: int  # in all, or a container's limit
    available: int  # that a new program can use now
    bandwidth: float  # of the RAM, as this process's threads read it
    gpus: tuple[Gpu, ...] = ()
    advice: str = ""  # a GPU is there that this build of llama.cpp cannot use, and what to do
    measured_busy: bool = False  # other programs wanted the cores when the RAM was measured


def sysctl(name: str) -> str:
    """A macOS kernel value; nothing where there is no such value."""
    try:
        run = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.strip()


def usable_cpus() -> set[int]:
    """Logical CPUs that this process may run on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cores() -> list[int]:
    """One logical CPU of each core that this process may run on: the first. Linux only.

    Where the kernel does not say which CPUs are of one core, each counts as a core.
    """
    first: dict[str, int] = {}
    for cpu in sorted(usable_cpus()):
        siblings = text_of(CPU_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        first.setdefault(siblings or str(cpu), cpu)
    return list(first.values())


def physical_cores() -> int:
    """Cores to evaluate on: hyperthreads share the units that matrix products need.

    On Linux the cores of this process's CPUs; on a Mac the performance cores. Elsewhere half of
    the logical CPUs.
    """
    count: int | None = None
    if sys.platform == "darwin":
        found = sysctl("hw.perflevel0.physicalcpu") or sysctl("hw.physicalcpu")
        count = int(found) if found.isdigit() else None
    elif sys.platform == "linux":
        count = len(cores())
    if count is None:
        count = max(1, len(usable_cpus()) // 2)
    return max(1, min(count, cpu_quota() or count))


def ram(proc: Path = PROC) -> Ram | None:
    """Memory that there is and that a new program can use; None where this cannot be told.

    A container has what the tightest of its limits leaves, and never more than the computer. What
    the kernel says of the computer comes from psutil, which knows each system's own way.
    """
    try:
        host = psutil.virtual_memory()
    except (OSError, RuntimeError, ValueError, psutil.Error):  # a /proc that is hidden or odd
        return None
    limits = list(memory_limits(proc))
    total = min([int(host.total), *(limit for limit, _ in limits)])
    return Ram(total, min([int(host.available), total, *(left for _, left in limits)]))


def available_memory() -> int | None:
    """Bytes of RAM that a new program can use; None where this cannot be told."""
    found = ram()
    return None if found is None else found.available


def has_amx(proc: Path = PROC) -> bool:
    """Whether the processor multiplies matrices of 8 bits itself: Intel's servers since 2023."""
    found = (line for line in text_of(proc / "cpuinfo").splitlines() if line.startswith("flags"))
    return "amx_int8" in next(found, "").split()
