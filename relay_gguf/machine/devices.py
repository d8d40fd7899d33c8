"""What this machine has: its RAM and its GPUs as values, container limits included."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from .cgroup import PROC, memory_limits


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
