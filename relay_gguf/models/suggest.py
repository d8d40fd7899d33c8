"""The model for a user who named none: the best published file for this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.errors import MemoryShortError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.fit.choose import MIN_SPEED, Candidate, candidates, choose
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.inventory import this_machine
from relay_gguf.machine.devices import Machine

from .locate import find

HERE_SHARE: Final = 0.5
"""The share of the wanted speed (or of the best file's speed, if that is lower) that a file on this
disk must reach to be preferred: speeds are estimates, and a small gain is not worth a download."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The file to take; `best` is another file if that is not on this disk, but `taken` is."""

    taken: Candidate
    best: Candidate
    candidates: Sequence[Candidate]
    here: Mapping[str, Path]  # type → file
    machine: Machine
    min_speed: float = MIN_SPEED

    @property
    def plan(self) -> Plan:
        """The plan of the file that is taken.

        Raises:
            MemoryShortError: it does not fit into memory.
        """
        if self.taken.plan is None:
            raise MemoryShortError(self.taken.refusal)
        return self.taken.plan

    @property
    def is_slow(self) -> bool:
        """Whether the file that is taken is too slow; on this disk half the speed will do."""
        here = self.taken.file.ftype in self.here
        return self.taken.speed < self.min_speed * (HERE_SHARE if here else 1)


def suggest(options: LoadOptions | None = None, min_speed: float = MIN_SPEED) -> Suggestion:
    """Choose among the published files; a file on this disk is preferred to a better one.

    Args:
        options: the user's, on loading the model.
        min_speed: tokens a second that a file should reach, as estimated.

    Raises:
        MemoryShortError: no published file fits into this machine.
        SettingsError: the options do not go with this machine.
        WorkerError: an address does not answer, or is not a worker.
    """
    options = options or LoadOptions()
    machine = this_machine(workers=options.workers)
    found = candidates(catalogue(), machine, options)
    here = files_here()
    best = choose(found, machine, min_speed)
    floor = min(min_speed, best.speed) * HERE_SHARE
    good = [c for c in found if c.plan and c.speed >= floor and not c.file.coarse]
    there = [candidate for candidate in good if candidate.file.ftype in here]
    if there and best.file.ftype not in here:
        taken = choose(there, machine, min_speed * HERE_SHARE)
    else:
        taken = best
    return Suggestion(
        taken=taken, best=best, candidates=found, here=here, machine=machine, min_speed=min_speed
    )


def files_here() -> dict[str, Path]:
    """Type → file of the published files that are on this disk."""
    found = {file.ftype: find(file.name) for file in catalogue()}
    return {ftype: path for ftype, path in found.items() if path is not None}
