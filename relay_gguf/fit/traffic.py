"""What a plan sends to workers and has sent back, and what waiting for the network costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay_gguf.machine.devices import Machine

from .placement import Plan

WORKER: Final = "RPC"
"""The backend of a GPU that is another machine's."""
TRIPS: Final = 1.0
"""Times that a token waits for a worker: all that is sent goes off at once, the reply is waited for
(measured: see `tests/benchmarks/workers.py`)."""
FLOAT: Final = 4
"""Bytes of a value that goes from one device to the next."""
MESSAGES: Final = 4000
"""Bytes, about, that go there with them for a token: 2,754 where a worker has all of SmolLM2, 5,372
where it has half of it (measured). Every 256th token sends more, the graph."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Between this machine and one device of a worker: bytes, and seconds for a token."""

    device: str  # RPC0
    address: str
    on_load: int  # there, once; a worker with --cache may have much of it already
    there: int  # for a token, about: what the device before has made of it
    back: int  # for a token: what this device makes of it, or the logits
    latency: float

    @property
    def per_token(self) -> int:
        """Bytes in both directions."""
        return self.there + self.back


def traffic(plan: Plan, machine: Machine) -> Iterator[Traffic]:
    """What goes over the network for each device of a worker that holds something."""
    gpus = {gpu.name: gpu for gpu in machine.gpus if gpu.backend == WORKER}
    state = plan.model.n_embd * FLOAT
    for share in plan.shares:
        if share.device in gpus and (share.blocks or share.output):
            gpu = gpus[share.device]
            back = plan.model.n_vocab * FLOAT if share.output else state
            seconds = gpu.latency * TRIPS
            there = state + MESSAGES
            yield Traffic(gpu.name, gpu.description, share.weights, there, back, seconds)
