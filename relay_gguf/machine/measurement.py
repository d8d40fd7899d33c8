"""The bandwidth of this machine's RAM, kept from one process to the next.

It is kept in a small file of the cache folder: measuring takes a third of a second, a busy machine
spoils it, and a virtual machine has slow half-minutes, while its host gives two of its CPUs one
core. Each entry names the hardware that it was measured on, since several machines may share a home
folder. If the file cannot be read or written, the RAM is measured each time.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
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
"""The file's format; other formats are not read. A new way of measuring is a new format."""
MOST: Final = 20
"""The number of entries in the file, the newest last."""
POSSIBLE: Final = (1e7, 1e14)
"""Bytes a second, from and to; an entry outside is damaged."""
TRIES: Final = 3
"""How often a quiet machine is measured; the best result counts."""
APART: Final = 30.0
"""Seconds between two measurements, at least."""
_WORDS: Final = ("host", "cpu")
_NUMBERS: Final = ("cpus", "cores", "ram", "tries")
RAM_STEP: Final = 1 << 28
"""Bytes to which RAM is rounded: kernels differ in how much of it they keep for themselves."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware that a bandwidth was measured on."""

    host: str
    cpu: str  # the processor's name
    cpus: int  # logical CPUs that this process may use
    cores: int  # cores that read
    ram: int  # bytes in total, rounded; 0 if unknown


@dataclass(frozen=True, slots=True)
class Kept:
    """A bandwidth, how often it was measured, and when last, in seconds since 1970."""

    found: Bandwidth
    tries: int
    when: float

    def is_settled(self, now: float) -> bool:
        """Whether it need not be measured again at this time."""
        settled = not self.found.busy and self.tries >= TRIES
        return settled or abs(now - self.when) < APART

    def after(self, found: Bandwidth, now: float) -> Kept:
        """This entry after one more measurement: the better, or the first of a quiet machine."""
        if self.found.busy and not found.busy:
            return Kept(found, 1, now)
        best = Bandwidth(max(found.rate, self.found.rate), self.found.busy)
        return Kept(best, self.tries + (found.busy == self.found.busy), now)


def this_hardware() -> Hardware:
    """The hardware of this machine, as far as the bandwidth depends on it."""
    memory = ram()
    total = memory.total if memory else 0
    return Hardware(
        host=platform.node(),
        cpu=cpu_model(),
        cpus=len(usable_cpus()),
        cores=physical_cores(),
        ram=round(total / RAM_STEP) * RAM_STEP,
    )


def kept_path() -> Path | None:
    """The file of kept bandwidths; None if this user has no cache folder."""
    return cache_file(FILE)


def measured(
    *,
    anew: bool = False,
    hardware: Hardware | None = None,
    measure: Callable[[int], Bandwidth] = ram_bandwidth,
    clock: Callable[[], float] = time.time,
    file: Callable[[], Path | None] = kept_path,
) -> Bandwidth:
    """How fast RAM is read: the kept bandwidth, or measured now and kept.

    The best of three measurements of a quiet machine, half a minute or more apart, is kept for
    good. A busy machine is measured again until it is quiet.

    Args:
        anew: forget the kept bandwidth and measure.
        hardware: that is measured; None for this machine.
        measure: measures the bandwidth of so many threads.
        clock: tells the time in seconds since 1970.
        file: tells the file of kept bandwidths; None to keep none.
    """
    of, path, now = hardware or this_hardware(), file(), clock()
    kept = None if anew else read_kept(path).get(of)
    if kept is not None and kept.is_settled(now):
        return kept.found
    found = measure(of.cores)
    kept = Kept(found, 1, now) if kept is None else kept.after(found, now)
    keep(path, of, kept)
    return kept.found


def read_kept(path: Path | None) -> dict[Hardware, Kept]:
    """The kept bandwidths, the newest last; empty if the file is missing, damaged or foreign."""
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
    """Add a bandwidth to the file; does nothing if the file cannot be written."""
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
    """An entry of the file; None if it is damaged."""
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
