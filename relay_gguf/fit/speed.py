"""Tokens a second of a plan, estimated: a token reads every weight, so memory sets the pace."""

from __future__ import annotations

from typing import Final

from relay_gguf.machine.devices import Machine

from .placement import RAM, Plan
from .traffic import traffic

GPU_SHARE: Final = 0.7
"""The share of a GPU's bandwidth that llama.cpp's kernels reach when they generate."""
RAM_SHARE: Final = 0.8
"""The share of the RAM's measured bandwidth: 0.7 to 0.8 for 0.9 billion parameters in Q4_K_M and
Q8_0 on an AMD EPYC."""
PER_BLOCK: Final = 0.15e-3
"""Seconds that a block takes on a CPU beside reading its bytes, which bounds small models. Measured
on the same machine."""
UNKNOWN: Final = 150e9
"""Bytes a second of a GPU whose bandwidth is unknown: those of a slow card."""
USUAL_RAM: Final = 40e9
"""Bytes a second of RAM that was not measured: two channels of DDR4-3200, less losses."""


def tokens_per_second(plan: Plan, machine: Machine) -> float:
    """Tokens a second that a plan generates, with its context half full; with slots, in one alone.

    Workers do not tell their memory's bandwidth: each counts as a slow card, plus its latency.
    """
    bandwidths = {gpu.name: (gpu.bandwidth or UNKNOWN) * GPU_SHARE for gpu in machine.gpus}
    bandwidths[RAM] = (machine.bandwidth or USUAL_RAM) * RAM_SHARE
    seconds = sum(other.latency for other in traffic(plan, machine))
    for share in plan.shares:
        weights = share.weights
        if share.device == RAM and not (share.output and plan.model.tied):
            weights -= plan.model.embedding  # of which a token reads one row
        kv = share.kv * plan.settings.n_ctx / plan.settings.pool  # of one reply
        seconds += (weights + kv / 2) / bandwidths[share.device]
        if share.device == RAM:
            seconds += share.blocks * PER_BLOCK
    return 1 / seconds if seconds else float("inf")
