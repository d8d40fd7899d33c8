"""Which of the published files to take on a machine.

Of the files that fit and generate at `min_speed` tokens a second or more, the file with the most
layers on a GPU; of equals, a file that need not save on context; of equals, the best. A coarse file
is taken only if no other file is that fast. If no file is, the fastest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.errors import MemoryShortError
from relay_gguf.machine.devices import Machine

from .catalogue import Published, catalogue
from .memory import GIB, ModelSizes
from .placement import Plan
from .plan import LoadOptions, fit
from .speed import tokens_per_second

TYPES: Final = (
    ("Q3_K_M", 4.00),
    ("Q4_K_M", 4.89),
    ("Q5_K_M", 5.70),
    ("Q6_K", 6.56),
    ("Q8_0", 8.50),
    ("F16", 16.0),
)
"""Common quantization types, and their bits per weight (llama.cpp's quantize README, 8B model)."""
MIN_SPEED: Final = 5.0
"""Tokens a second: about as fast as people read aloud."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file on a machine: its plan or the reason why it does not fit, and its tokens a second."""

    file: Published
    plan: Plan | None
    speed: float = 0.0
    refusal: str = ""


def candidates(
    published: Sequence[Published], machine: Machine, options: LoadOptions
) -> list[Candidate]:
    """Each file with its plan on a machine, in the same order."""
    return [_candidate(file, machine, options) for file in published]


def _candidate(file: Published, machine: Machine, options: LoadOptions) -> Candidate:
    try:
        plan = fit(file.model, machine, options)
    except MemoryShortError as error:
        return Candidate(file, None, refusal=str(error))
    return Candidate(file, plan, tokens_per_second(plan, machine))


def better(
    model: ModelSizes, bits: float, machine: Machine, options: LoadOptions
) -> Candidate | None:
    """The model in the next better quantization type, on a machine; None if there is no better.

    For a published file, the next better published file. For any other file, the sizes are scaled
    with the bits of a weight.

    Args:
        model: the model's sizes.
        bits: of a weight, on average; 0 if unknown.
        machine: with its free memory.
        options: of the user.
    """
    known = catalogue()
    for worse, file in zip(known[1:], known, strict=False):
        if Path(model.name).name == worse.file:
            return _candidate(file, machine, options)
    if Path(model.name).name == known[0].file or not bits:
        return None
    for ftype, n_bits in TYPES:
        if n_bits > bits * 1.05:
            larger = model.scaled(n_bits / bits)
            file = Published(
                repo="", file=ftype, ftype=ftype, size=larger.weights, license="", model=larger
            )
            return _candidate(file, machine, options)
    return None


def choose(found: Sequence[Candidate], machine: Machine, min_speed: float = MIN_SPEED) -> Candidate:
    """The file to take.

    Args:
        found: all files, the best first.
        machine: that they were planned for.
        min_speed: tokens a second that the file should reach.

    Raises:
        MemoryShortError: no file fits into the machine.
    """
    fitting = [candidate for candidate in found if candidate.plan is not None]
    fast = [candidate for candidate in fitting if candidate.speed >= min_speed]
    if fast:
        return max([c for c in fast if not c.file.coarse] or fast, key=_comfort)
    if fitting:
        return max(fitting, key=lambda candidate: candidate.speed)
    smallest = min(found, key=lambda candidate: candidate.file.size).file
    raise MemoryShortError(
        f"Relay does not fit into this machine: its smallest file, {smallest.ftype}, is "
        f"{smallest.size / 1e9:.3g} GB, and {machine.available / GIB:.1f} GiB of memory are free. "
        "`relay-gguf chat --demo` takes a small model."
    )


def _comfort(candidate: Candidate) -> tuple[int, int, bool]:
    if candidate.plan is None:
        return (-1, 0, False)
    at = candidate.plan.settings
    return (at.n_gpu_layers, at.n_ctx, at.kv_type == "f16")
