"""This machine, put together: memory, how fast it is read, GPUs, and what could be better."""

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
"""Bytes of RAM where it cannot be told: nothing is refused for that."""


def this_machine(*, timed: bool = True, workers: Sequence[str] = ()) -> Machine:
    """What there is to run a model on, as it is now.

    How fast RAM is read is kept from one process to the next; the first one takes 0.4 s to measure
    it, on a busy machine up to 3 s. Unless `timed` that is left out: the bandwidth is 0 then. With
    CUDA this takes a few hundred megabytes of each card, as llama.cpp does.

    Args:
        timed: tell how fast RAM is read.
        workers: HOST[:PORT] of other machines, whose devices go before the own ones.

    Raises:
        WorkerError: a worker does not answer, or is none.
    """
    found = gpus()
    others = worker_gpus(workers)
    memory = ram() or Ram(UNKNOWN, UNKNOWN)
    bandwidth = _measured() if timed else Bandwidth(0.0)
    return Machine(
        memory.total,
        memory.available,
        bandwidth.rate,
        others + found,
        advice(cards(), found),
        bandwidth.busy,
    )


@cache
def _measured() -> Bandwidth:
    return measured()  # once a process, also where it cannot be kept
