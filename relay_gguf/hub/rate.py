"""How fast the hub sends a file, measured with its first megabytes, which are thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from threading import Thread
from typing import Final

from relay_gguf.errors import ModelError

from .file import stream

N_BYTES: Final = 8_000_000
"""Bytes to read at most."""
SECONDS: Final = 2.0
"""Seconds to read for at most, from the first byte on."""
PATIENCE: Final = 3.5
"""Seconds after which the measurement is given up."""
SLOW_START: Final = 4
"""The first 1 / SLOW_START of the bytes does not count: a connection begins slowly."""


def download_rate(
    repo: str, file: str, commit: str = "", *, n_bytes: int = N_BYTES
) -> float | None:
    """Bytes a second of a file; None if the hub cannot be reached now, or does not answer.

    Takes 2 s and `n_bytes` at most, 3.5 s where nothing answers. The cache is not touched.
    """
    return rate_within(PATIENCE, lambda: _arriving(repo, file, commit, n_bytes))


def rate_within(
    seconds: float, arriving: Callable[[], Iterator[tuple[float, int]]]
) -> float | None:
    """Bytes a second of what arrives; None if it fails, or is not known in so many seconds."""
    found: list[float | None] = []

    def measure() -> None:
        with suppress(ModelError):
            found.append(_rate(arriving()))

    # A thread, since looking up the hub's address has no time limit of its own.
    thread = Thread(target=measure, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _arriving(repo: str, file: str, commit: str, n_bytes: int) -> Iterator[tuple[float, int]]:
    """Pairs of a time and the bytes that had arrived by then; the first at the request, with 0."""
    start, done = time.monotonic(), 0
    yield start, 0
    with closing(stream(repo, commit, name=file, start=0, stop=n_bytes)) as pieces:
        first = None
        for _, data in pieces:
            now = time.monotonic()
            first, done = first or now, done + len(data)
            yield now, done
            if done >= n_bytes or now >= first + SECONDS:
                return


def _rate(arriving: Iterator[tuple[float, int]]) -> float | None:
    """Bytes a second after the slow beginning; None if no byte arrived."""
    seen: Sequence[tuple[float, int]] = list(arriving)
    end, total = seen[-1]
    if not total:
        return None
    began, before = next(point for point in seen if point[1] >= total / SLOW_START)
    if end <= began:  # all of it came at once
        began, before = seen[0]
    return (total - before) / max(1e-6, end - began)
