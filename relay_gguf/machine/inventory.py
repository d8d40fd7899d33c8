"""This machine, put together: memory, how fast it is read, GPUs, and what could be better."""

from __future__ import annotations

from functools import cache
from typing import Final

from relay_gguf.llama.devices import gpus

from .bandwidth import ram_bandwidth
from .devices import Machine, Ram, physical_cores, ram
from .drivers import cards
from .wheels import advice

UNKNOWN: Final = 1 << 40
"""Bytes of RAM where it cannot be told: nothing is refused for that."""


def this_machine(*, timed: bool = True) -> Machine:
    """What there is to run a model on, as it is now.

    The first call takes 0.3 s to measure the RAM, which is done once a process, and not at all
    unless `timed`: the bandwidth is 0 then. With CUDA it takes a few hundred megabytes of each
    card, as llama.cpp does.
    """
    found = gpus()
    memory = ram() or Ram(UNKNOWN, UNKNOWN)
    return Machine(
        memory.total,
        memory.available,
        _bandwidth() if timed else 0.0,
        found,
        advice(cards(), found),
    )


@cache
def _bandwidth() -> float:
    return ram_bandwidth(physical_cores())
