"""What this machine has: its RAM and its GPUs as values, container limits included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from .cgroup import PROC, memory_limits


@dataclass(frozen=True, slots=True)
class Ram:
    """The computer's memory, or a container's limit. Bytes."""

    total: int
    available: int  # for a new program; the file cache counts as free


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
    unified: bool = False  # it uses the computer's RAM
    bandwidth: float | None = None  # None if unknown
    latency: float = 0.0  # seconds from a question to a worker until its answer


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run a model on. Sizes in bytes, bandwidth in bytes a second."""

    ram: int  # in total, or a container's limit
    available: int  # for a new program, now
    bandwidth: float  # of the RAM, as this process's threads read it
    gpus: tuple[Gpu, ...] = ()
    advice: str = ""  # how to use a GPU that this build of llama.cpp cannot use
    measured_busy: bool = False  # other programs wanted the cores when the RAM was measured


def ram(proc: Path = PROC) -> Ram | None:
    """The total memory, and what a new program can use of it; None if the system does not tell.

    A container has what the tightest of its limits leaves, and never more than the computer. The
    computer's own numbers come from psutil, which knows each system's way.
    """
    try:
        host = psutil.virtual_memory()
    except (OSError, RuntimeError, ValueError, psutil.Error):  # a /proc that is hidden or odd
        return None
    return within(Ram(int(host.total), int(host.available)), list(memory_limits(proc)))


def within(host: Ram, limits: Sequence[tuple[int, int]]) -> Ram:
    """What the tightest limits leave of a computer's memory.

    Args:
        host: the computer's memory.
        limits: bytes that a control group may use, and what is left of them.
    """
    total = min([host.total, *(limit for limit, _ in limits)])
    return Ram(total, min([host.available, total, *(left for _, left in limits)]))


def available_memory() -> int | None:
    """Bytes of RAM that a new program can use; None if the system does not tell."""
    found = ram()
    return None if found is None else found.available
