"""How fast this process reads RAM, which bounds the tokens a second of a model on a CPU.

The result describes the machine, not the moment. Threads read small slices, each on a core of its
own, and note the time and how long they really ran. Only moments at which all threads ran count: a
thread that has lost its core reads nothing and leaves the others more than their share.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from .cgroup import cpu_quota
from .cpu import cores
from .devices import available_memory

MEBIBYTE: Final = 1 << 20
BUFFER: Final = 256 * MEBIBYTE
"""Bytes that all threads together read again and again: well above a cache."""
PER_THREAD: Final = 32 * MEBIBYTE
"""Bytes for each thread at least: the caches of many cores together hold more than `BUFFER`."""
SHARE: Final = 8
"""The buffer takes at most the available RAM divided by this."""
SLICE: Final = 4 * MEBIBYTE
"""Bytes read at once, in a tenth of the time that a scheduler lets a thread run, or less."""
FEW_THREADS: Final = 16
"""With more threads, slices are larger, or the threads would wait for Python's lock."""
ROUND: Final = 0.1
"""Seconds of a round."""
ROUNDS: Final = ((3, 1.0, 200), (10, 0.75, 20), (30, 0.0, 0))
"""(rounds, share, moments): after so many rounds, so many moments are enough at which this share of
the threads ran."""
FEW: Final = 20
"""The number of moments that a speed can be taken from."""
RAN: Final = 0.9
"""The share of a slice's time that its thread must have run for the slice to count."""
UPPER: Final = 90
"""The percentile of the moments' speeds that is the result: a speed that is reached for a tenth of
the time, while no neighbour on the same host reads, but not a rare one."""
OTHERS: Final = 0.1
"""The share of the threads' time that other programs take on a quiet machine at most."""
FINE_CLOCK: Final = sys.platform != "win32"
"""Whether a thread's running time is known finely enough; Windows counts ticks of 16 ms."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second, and whether other programs wanted the cores or the RAM meanwhile."""

    rate: float
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices that a thread read: times in seconds, an entry for each slice."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    ran: NDArray[np.float64]  # how long the thread itself ran between the two


def ram_bandwidth(
    n_threads: int,
    *,
    seconds: float = ROUND,
    available: int | None = None,
    pinned: bool = True,
    fine_clock: bool = FINE_CLOCK,
) -> Bandwidth:
    """How fast `n_threads` threads read RAM together; takes 0.3 s, or 3 s on a busy machine.

    Twice as many busy loops as cores beside it change the result by a few per cent.

    Args:
        n_threads: as many as there are cores.
        seconds: of a round.
        available: bytes of RAM that may be used; None asks this machine.
        pinned: hold each thread on a core of its own, where the system can.
        fine_clock: as of `moments`.
    """
    part = max(PER_THREAD, BUFFER // n_threads)
    available = available_memory() if available is None else available
    if available is not None:
        part = max(MEBIBYTE, min(part, available // SHARE // n_threads))
    n_bytes = min(part, SLICE * max(1, n_threads // FEW_THREADS))
    cpus = _own_cpus(n_threads) if pinned else [None] * n_threads
    seen: list[NDArray[np.float64]] = []
    ran = wall = 0.0
    with ThreadPoolExecutor(n_threads) as pool:
        parts = list(pool.map(_written, [part] * n_threads, cpus))
        others_since = other_cores()
        for count in itertools.count(1):
            end = time.perf_counter() + seconds
            found = list(pool.map(partial(_read, n_bytes, end), parts, cpus))
            seen.append(moments(found, n_bytes, fine_clock=fine_clock))
            ran += sum(float(slices.ran.sum()) for slices in found)
            wall += sum(float((slices.end - slices.start).sum()) for slices in found)
            counts = np.concatenate(seen, axis=1)[0]
            if any(
                count >= rounds and (counts >= share * n_threads).sum() >= enough
                for rounds, share, enough in ROUNDS
            ):
                break
        others = others_since()
    rate = of_all(np.concatenate(seen, axis=1), n_threads)
    return Bandwidth(rate, ran < RAN * wall or others > OTHERS * n_threads)


def moments(
    found: Sequence[Slices], n_bytes: int, *, fine_clock: bool = FINE_CLOCK
) -> NDArray[np.float64]:
    """How many threads ran at a moment, and how fast they read together, in bytes a second.

    The moments are the middles of all slices for which a thread kept its core.

    Args:
        found: the slices of each thread.
        n_bytes: the size of a slice.
        fine_clock: whether the time that a thread ran is known finely enough to count.

    Returns:
        Two rows, a column for each moment.
    """
    kept = [slices.ran >= RAN * (slices.end - slices.start) for slices in found]
    if not fine_clock:
        kept = [np.ones_like(mask) for mask in kept]
    middles = [(one.start + one.end)[mask] / 2 for one, mask in zip(found, kept, strict=True)]
    when = np.concatenate(middles)
    counts, rates = np.zeros(len(when)), np.zeros(len(when))
    for slices, mask in zip(found, kept, strict=True):
        at = np.searchsorted(slices.start, when, side="right") - 1
        runs = (at >= 0) & (when < slices.end[at]) & mask[at]
        counts += runs
        rates += runs * n_bytes / np.maximum(1e-9, slices.end - slices.start)[at]
    return np.stack([counts, rates])


def of_all(seen: NDArray[np.float64], n_threads: int) -> float:
    """Bytes a second that all threads read together, by the moments at which they did.

    If many cores are never free at once, the speed of fewer threads is extrapolated in a straight
    line to all threads: exact if the cores set the pace, and if the RAM does.

    Args:
        seen: rows of counts and rates, as `moments` gives them.
        n_threads: the number of all threads.
    """
    counts, rates = seen
    if not len(counts):
        return 0.0
    all_ran = rates[counts == n_threads]
    if len(all_ran) >= FEW or counts.min() == counts.max():
        most = rates[counts == counts.max()]
        return float(np.percentile(most, UPPER))
    levels = [level for level in np.unique(counts) if (counts == level).sum() >= FEW // 4]
    levels = levels[-3:] or [counts.max()]
    at = [float(np.percentile(rates[counts == level], UPPER)) for level in levels]
    if len(levels) == 1:
        return at[0]
    a_thread = max(0.0, (at[-1] - at[0]) / float(levels[-1] - levels[0]))
    return at[-1] + a_thread * float(n_threads - levels[-1])


def _written(n_bytes: int, cpu: int | None) -> NDArray[np.uint8]:
    """Memory to read, on the NUMA node of the CPU that will read it.

    It is written to, or all its pages would be the kernel's one page of zeros.
    """
    _stay_on(cpu)
    return np.ones(n_bytes, np.uint8)


def _read(n_bytes: int, end: float, part: NDArray[np.uint8], cpu: int | None) -> Slices:
    """Read slice after slice until `perf_counter` is at `end`, at least one slice.

    The maximum of bytes has SIMD loops in numpy on every CPU: from a cache it reads four times as
    fast as from RAM here, without the GIL. A sum of floats does not, and a dot product is as fast,
    but some BLAS libraries put threads of their own to it.
    """
    _stay_on(cpu)
    clock, own = time.perf_counter, time.thread_time
    noted: list[tuple[float, float, float]] = []
    while not noted or clock() < end:
        for at in range(0, len(part) - n_bytes + 1, n_bytes):
            ran, start = own(), clock()
            np.maximum.reduce(part[at : at + n_bytes])
            noted.append((start, clock(), own() - ran))
            if noted[-1][1] >= end:
                break
    start_, end_, ran_ = np.array(noted).T
    return Slices(start_, end_, ran_)


def _own_cpus(n_threads: int) -> list[int | None]:
    """A CPU for each thread, each on another core; None if threads cannot be held on a CPU."""
    found = cores() if sys.platform == "linux" else []
    return list(found[:n_threads]) if len(found) >= n_threads else [None] * n_threads


def _stay_on(cpu: int | None) -> None:
    """Hold this thread on a CPU: on a busy machine two of them would share one for a while."""
    if sys.platform == "linux" and cpu is not None:
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError:  # it was just taken offline, or a sandbox forbids it
            return


def _used() -> float | None:
    """Seconds for which this computer's CPUs have worked since it was started."""
    try:
        times: dict[str, float] = psutil.cpu_times()._asdict()
    except (OSError, RuntimeError, ValueError, psutil.Error):
        return None
    idle = ("idle", "iowait", "guest", "guest_nice")  # what guests used is in user too
    return sum(times.values()) - sum(times.get(name, 0.0) for name in idle)


def other_cores(
    *,
    used: Callable[[], float | None] = _used,
    quota: Callable[[], int | None] = cpu_quota,
    clock: Callable[[], float] = time.perf_counter,
    own: Callable[[], float] = time.process_time,
) -> Callable[[], float]:
    """A function that returns how many cores other programs have used since now; 0 if unknown.

    It is unknown in a container with a quota, where the kernel counts the whole host's programs.

    Args:
        used: tells the seconds for which all CPUs have worked; None if unknown.
        quota: tells the CPUs that this container may use; None without a limit.
        clock: tells the time in seconds.
        own: tells the seconds for which this process has worked.
    """
    before, start, own_before = used(), clock(), own()

    def cores_since() -> float:
        after = used()
        if before is None or after is None or quota() is not None:
            return 0.0
        seconds = max(1e-9, clock() - start)
        return max(0.0, (after - before - (own() - own_before)) / seconds)

    return cores_since
