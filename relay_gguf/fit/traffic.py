"""Bytes that a plan sends to workers and gets back, and seconds of waiting for the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay_gguf.machine.devices import Machine

from .placement import Plan

WORKER: Final = "RPC"
"""The backend of a device of another machine."""
TRIPS: Final = 1.0
"""Round trips that a token waits for: all messages are sent at once, only the reply is waited for
(measured: see `tests/benchmarks/workers.py`)."""
FLOAT: Final = 4
"""Bytes of a value that goes from one device to the next."""
MESSAGES: Final = 4000
"""Bytes of messages that go to a worker for a token beside the values, about: 2,754 for a worker
with all of SmolLM2, 5,372 for a worker with half of it (measured). Every 256th token sends more:
the graph."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic between this machine and a device of a worker: bytes, and seconds per token."""

    device: str  # RPC0
    address: str
    on_load: int  # sent once; a worker with --cache may have much of it already
    there: int  # sent per token, about: the output of the device before it
    back: int  # received per token: the output of this device, or the logits
    latency: float

    @property
    def per_token(self) -> int:
        """Bytes per token in both directions."""
        return self.there + self.back


def traffic(plan: Plan, machine: Machine) -> Iterator[Traffic]:
    """The traffic of each device of a worker that holds a part of the model."""
    gpus = {gpu.name: gpu for gpu in machine.gpus if gpu.backend == WORKER}
    state = plan.model.n_embd * FLOAT
    for share in plan.shares:
        if share.device in gpus and (share.blocks or share.output):
            gpu = gpus[share.device]
            back = plan.model.n_vocab * FLOAT if share.output else state
            seconds = gpu.latency * TRIPS
            there = state + MESSAGES
            yield Traffic(
                device=gpu.name,
                address=gpu.description,
                on_load=share.weights,
                there=there,
                back=back,
                latency=seconds,
            )
