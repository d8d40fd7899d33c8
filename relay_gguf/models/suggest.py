"""The model to take where none was named: the best published file for this machine."""

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
"""Of the speed that is asked for, or of the best file's where none reaches it, what a file that is
on this disk must reach: speeds are estimates, and shall not make anybody download another file for
a little."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to take; `best` is another one where that is not here, and what is here will do."""

    taken: Candidate
    best: Candidate
    candidates: Sequence[Candidate]
    here: Mapping[str, Path]  # type → file
    machine: Machine
    min_speed: float = MIN_SPEED

    @property
    def plan(self) -> Plan:
        """How the file that is taken would be loaded."""
        if self.taken.plan is None:
            raise MemoryShortError(self.taken.refusal)
        return self.taken.plan

    @property
    def is_slow(self) -> bool:
        """No file reaches the speed that is asked for, and none is here that comes near it."""
        here = self.taken.file.ftype in self.here
        return self.taken.speed < self.min_speed * (HERE_SHARE if here else 1)


def suggest(options: LoadOptions | None = None, min_speed: float = MIN_SPEED) -> Suggestion:
    """Choose among the published files; one that is on this disk goes before a better one.

    Args:
        options: what the user has decided about loading it.
        min_speed: tokens a second that a file must reach, as estimated.

    Raises:
        MemoryShortError: none of them fits into this machine.
        SettingsError: the options do not go with this machine.
        WorkerError: a worker does not answer, or is none.
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
    return Suggestion(taken, best, found, here, machine, min_speed)


def files_here() -> dict[str, Path]:
    """The published files that are on this disk, by type."""
    found = {file.ftype: find(file.name) for file in catalogue()}
    return {ftype: path for ftype, path in found.items() if path is not None}
