"""This machine as llama.cpp sees it: RAM, its bandwidth, GPUs, and advice on unused GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from relay_gguf.machine.bandwidth import Bandwidth
from relay_gguf.machine.devices import Machine, Ram, ram
from relay_gguf.machine.drivers import cards
from relay_gguf.machine.measurement import measured
from relay_gguf.machine.wheels import advice
from relay_gguf.workers.gpus import worker_gpus

from .backends import gpus

UNKNOWN: Final = 1 << 40
"""Bytes of RAM if the system does not tell: then no model is refused for its size."""


def this_machine(*, timed: bool = True, workers: Sequence[str] = ()) -> Machine:
    """The devices of this machine and of workers, with their free memory now.

    The RAM's bandwidth is kept from one process to the next; the first process takes 0.4 s to
    measure it, on a busy machine up to 3 s. With CUDA this call takes a few hundred megabytes of
    each card, as llama.cpp does.

    Args:
        timed: whether to tell the RAM's bandwidth; else it is 0.
        workers: HOST[:PORT] of other machines, whose devices come before this machine's.

    Raises:
        WorkerError: an address does not answer, or is not a worker.
    """
    found = gpus()
    others = worker_gpus(workers)
    memory = ram() or Ram(UNKNOWN, UNKNOWN)
    bandwidth = _measured() if timed else Bandwidth(0.0)
    return Machine(
        ram=memory.total,
        available=memory.available,
        bandwidth=bandwidth.rate,
        gpus=others + found,
        advice=advice(cards(), found),
        measured_busy=bandwidth.busy,
    )


@cache
def _measured() -> Bandwidth:
    return measured()  # once a process, also where it cannot be kept
