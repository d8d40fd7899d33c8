"""The processor: its name, its cores as this process may use them, what it can do."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from relay_gguf.errors import SettingsError

from .cgroup import PROC, cpu_quota, text_of

CPU_TOPOLOGY = Path("/sys/devices/system/cpu")
CPUINFO_BYTES: Final = 8192
"""Read of /proc/cpuinfo: the first processor's block is about 1,500 bytes."""


MOST_THREADS: Final = 512
"""GGML_MAX_N_THREADS: with more, llama.cpp ends the process."""


def check_threads(n_threads: int | None) -> None:
    """Refuse a number of threads that llama.cpp cannot compute with; None is up to the program.

    Raises:
        SettingsError: it is less than 1, or too many.
    """
    if n_threads is not None and not 1 <= n_threads <= MOST_THREADS:
        raise SettingsError(f"threads is {n_threads}; it must be 1 to {MOST_THREADS}.")


def cpuinfo(proc: Path = PROC) -> list[str]:
    """The lines of the first processor in /proc/cpuinfo, `NAME\\t: VALUE`; empty elsewhere."""
    try:
        with (proc / "cpuinfo").open("rb") as file:
            text = file.read(CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = text.splitlines()
    return lines[: lines.index("")] if "" in lines else lines


def cpu_model(proc: Path = PROC) -> str:
    """The processor's name; the name of its architecture if the system does not tell."""
    if sys.platform == "darwin":
        return sysctl("machdep.cpu.brand_string") or platform.machine()
    found = _field("model name", proc)
    return found or platform.processor() or platform.machine()


def has_amx(proc: Path = PROC) -> bool:
    """Whether the processor multiplies matrices of 8-bit integers itself: Intel's servers do."""
    return "amx_int8" in _field("flags", proc).split()


def sysctl(name: str) -> str:
    """A value of the macOS kernel; empty if there is no such value."""
    try:
        run = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.strip()


def usable_cpus() -> set[int]:
    """The logical CPUs that this process may run on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cores(cpus: Iterable[int] | None = None, topology: Path = CPU_TOPOLOGY) -> list[int]:
    """The first logical CPU of each core. Linux only.

    Args:
        cpus: logical CPUs; None for those that this process may run on.
        topology: where the kernel tells which CPUs share a core. If it does not, each is a core.
    """
    first: dict[str, int] = {}
    for cpu in sorted(usable_cpus() if cpus is None else cpus):
        siblings = text_of(topology / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        first.setdefault(siblings or str(cpu), cpu)
    return list(first.values())


def physical_cores() -> int:
    """The number of cores to evaluate on: hyperthreads share the units that matrices need.

    On Linux the cores of this process's CPUs; on a Mac the performance cores. Elsewhere half of
    the logical CPUs. A container's CPU quota bounds it; it is at least 1.
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


def _field(name: str, proc: Path) -> str:
    """The value of a line of /proc/cpuinfo; empty if there is no such line."""
    pairs = (line.partition(":") for line in cpuinfo(proc))
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")
