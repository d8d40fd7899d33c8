"""How fast this process reads RAM: what bounds the tokens a second of a model on a CPU."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .devices import available_memory

MEBIBYTE = 1 << 20
BUFFER = 256 * MEBIBYTE
"""Read in a round, by all threads: well above a cache, and 10 ms where RAM gives 25 GB/s."""
PER_THREAD = 32 * MEBIBYTE
"""At least for each thread: with many cores, their caches together hold more than `BUFFER`."""
SHARE = 8
"""The buffer takes at most one part in so many of the available RAM."""
SECONDS, LEAST_ROUNDS = 0.3, 4
"""For all of it; on a virtual machine that has to get the memory first, half may be gone then."""


def ram_bandwidth(n_threads: int) -> float:
    """Bytes a second that `n_threads` threads read from RAM together, measured in 0.3 s.

    The median of the rounds: on a machine that is shared, the best one is of a moment when nobody
    else read, and no answer of a model is that short.
    """
    end = time.perf_counter() + SECONDS
    part = max(PER_THREAD, BUFFER // n_threads)
    available = available_memory()
    if available is not None:
        part = max(MEBIBYTE, min(part, available // SHARE // n_threads))
    with ThreadPoolExecutor(n_threads) as pool:
        # Written to, or all pages would be the one of zeros; by the thread that reads it, so that
        # the memory is on its own node.
        parts = list(pool.map(partial(np.ones, dtype=np.uint8), [part] * n_threads))
        seconds: list[float] = []
        while len(seconds) < LEAST_ROUNDS or time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(_read, parts))
            seconds.append(time.perf_counter() - start)
    return part * n_threads / statistics.median(seconds)


def _read(part: NDArray[np.uint8]) -> None:
    """Read each byte once. The maximum of bytes has SIMD loops in numpy on every CPU.

    From a cache it reads four times as fast as from RAM here, without the GIL. A sum of floats
    does not, and a dot product is as fast, but some BLAS libraries put threads of their own to it.
    """
    np.maximum.reduce(part)
