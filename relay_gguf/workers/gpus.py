"""The devices of workers as GPUs, for the planner."""

from __future__ import annotations

from collections.abc import Sequence

from relay_gguf.machine.devices import Gpu

from .address import parse_addresses
from .protocol import WorkerInfo, ask_all

BACKEND = "RPC"


def worker_gpus(workers: Sequence[str]) -> tuple[Gpu, ...]:
    """The devices of workers, with the names that llama.cpp will give them.

    Args:
        workers: HOST[:PORT] of each, in the order in which they are registered with llama.cpp.

    Raises:
        WorkerError: an address does not answer, or is not a worker.
    """
    return as_gpus(ask_all(parse_addresses(workers)))


def as_gpus(found: Sequence[WorkerInfo]) -> tuple[Gpu, ...]:
    """All devices of all workers as GPUs, named RPC0, RPC1 and so on."""
    devices = [(info, memory) for info in found for memory in info.devices]
    return tuple(
        Gpu(
            name=f"{BACKEND}{number}",
            description=str(info.address),
            backend=BACKEND,
            free=memory.free,
            total=memory.total,
            latency=info.latency,
        )
        for number, (info, memory) in enumerate(devices)
    )
