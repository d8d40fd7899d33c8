"""Workers as devices: what the planner takes for GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from relay_gguf.machine.devices import Gpu

from .address import parse_addresses
from .protocol import WorkerInfo, ask_all

BACKEND = "RPC"


def worker_gpus(workers: Sequence[str]) -> tuple[Gpu, ...]:
    """The devices of workers, named as llama.cpp will name them once it is told of these.

    Args:
        workers: HOST[:PORT] of each, in the order in which llama.cpp is told.

    Raises:
        WorkerError: one of them does not answer, or is none.
    """
    return as_gpus(ask_all(parse_addresses(workers)))


def as_gpus(found: Sequence[WorkerInfo]) -> tuple[Gpu, ...]:
    """Every device of every worker: RPC0, RPC1 and so on."""
    devices = [(info, memory) for info in found for memory in info.devices]
    return tuple(
        Gpu(
            f"{BACKEND}{number}",
            str(info.address),
            BACKEND,
            memory.free,
            memory.total,
            latency=info.latency,
        )
        for number, (info, memory) in enumerate(devices)
    )
