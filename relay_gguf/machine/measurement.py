"""The bandwidth of this machine's RAM, kept from when it was measured last.

In a small file of the cache folder, since measuring takes a third of a second and a busy machine
spoils it, and a virtual machine has slow half-minutes, while its host gives two of its CPUs one
core. Each entry says what hardware it is of: a home folder may be on several machines. A file that
is not ours to read or to write costs the measuring, and nothing else.
"""

from __future__ import annotations

import json
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf import disk
from relay_gguf.folders import cache_file

from .bandwidth import Bandwidth, ram_bandwidth
from .cpu import cpu_model, physical_cores, usable_cpus
from .devices import ram

FILE: Final = "bandwidth.json"
FORMAT: Final = 1
"""Of the file; one of another is not read. Another way of measuring is another format."""
MOST: Final = 20
"""Entries that are kept, the newest last."""
POSSIBLE: Final = (1e7, 1e14)
"""Bytes a second: what is less or more is damaged."""
TRIES: Final = 3
"""Times that a quiet machine is measured; the best counts."""
APART: Final = 30.0
"""Seconds between two of them at least."""
_WORDS: Final = ("host", "cpu")
_NUMBERS: Final = ("cpus", "cores", "ram", "tries")
RAM_STEP: Final = 1 << 28
"""Bytes to which RAM is rounded: what a kernel keeps of it for itself changes with the kernel."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a bandwidth is of."""

    host: str
    cpu: str  # its model's name
    cpus: int  # logical ones that this process may use
    cores: int  # that read
    ram: int  # bytes in all, rounded; 0 where it cannot be told


@dataclass(frozen=True, slots=True)
class Kept:
    """A bandwidth, how often it was measured, and when last: seconds since 1970."""

    found: Bandwidth
    tries: int
    when: float

    def is_settled(self, now: float) -> bool:
        """Whether there is nothing to measure at this time."""
        settled = not self.found.busy and self.tries >= TRIES
        return settled or abs(now - self.when) < APART

    def after(self, found: Bandwidth, now: float) -> Kept:
        """What is kept after one more measurement: the better one, or the first that is quiet."""
        if self.found.busy and not found.busy:
            return Kept(found, 1, now)
        best = Bandwidth(max(found.rate, self.found.rate), self.found.busy)
        return Kept(best, self.tries + (found.busy == self.found.busy), now)


def this_hardware() -> Hardware:
    """What there is here."""
    memory = ram()
    total = memory.total if memory else 0
    return Hardware(
        platform.node(),
        cpu_model(),
        len(usable_cpus()),
        physical_cores(),
        round(total / RAM_STEP) * RAM_STEP,
    )


def measured(*, anew: bool = False) -> Bandwidth:
    """How fast RAM is read: kept, or measured now.

    The best of three tries on a quiet machine, half a minute apart or more, is kept for good. One
    of a busy machine is measured again as long as that stays so.

    Args:
        anew: measure, whatever is kept, and keep that.
    """
    hardware, path, now = this_hardware(), kept_path(), time.time()
    kept = None if anew else read_kept(path).get(hardware)
    if kept is not None and kept.is_settled(now):
        return kept.found
    found = ram_bandwidth(hardware.cores)
    kept = Kept(found, 1, now) if kept is None else kept.after(found, now)
    keep(path, hardware, kept)
    return kept.found


def kept_path() -> Path | None:
    """Where bandwidths are kept; None where this user has no folder for it."""
    return cache_file(FILE)


def read_kept(path: Path | None) -> dict[Hardware, Kept]:
    """What is kept, the newest last; nothing of a file that is missing, damaged or foreign."""
    if path is None:
        return {}
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        return {}
    entries = table.get("measured")
    found = map(_entry, entries if isinstance(entries, list) else [])
    return dict(entry for entry in found if entry is not None)


def keep(path: Path | None, hardware: Hardware, kept: Kept) -> None:
    """Keep a bandwidth beside those of other machines; where nothing can be written, do not."""
    if path is None:
        return
    known = read_kept(path)
    known.pop(hardware, None)
    entries = [
        asdict(of) | asdict(what.found) | {"tries": what.tries, "when": what.when}
        for of, what in [*known.items(), (hardware, kept)][-MOST:]
    ]
    table = {"format": FORMAT, "measured": entries}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_whole(path, json.dumps(table, indent=1).encode())


def _entry(value: Any) -> tuple[Hardware, Kept] | None:
    """An entry of the file, if it is one."""
    if not isinstance(value, dict) or type(value.get("busy")) is not bool:
        return None
    words = [value[name] for name in _WORDS if isinstance(value.get(name), str)]
    numbers = [value[name] for name in _NUMBERS if type(value.get(name)) is int]
    if len(words) < len(_WORDS) or len(numbers) < len(_NUMBERS):
        return None
    rate, when = value.get("rate"), value.get("when")
    if not isinstance(rate, float) or not POSSIBLE[0] <= rate <= POSSIBLE[1]:  # nor NaN
        return None
    if not isinstance(when, float):
        return None
    *numbers, tries = numbers
    return Hardware(*words, *numbers), Kept(Bandwidth(rate, value["busy"]), tries, when)
