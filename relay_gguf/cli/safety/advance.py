"""How far a measurement is, on stderr: a line that changes on a terminal, else one now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relay_gguf.safety.evaluation import Advance

EVERY: Final = 30.0
"""Seconds between two lines, without a terminal."""


def shown(
    advances: Iterable[Advance], clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """Pass advances on, and show each on a terminal, or some as lines; the last of a step always.

    Args:
        advances: of a measurement.
        clock: seconds.
    """
    live = sys.stderr is not None and sys.stderr.isatty()
    last = clock()
    try:
        for advance in advances:
            now, ends = clock(), advance.done in (0, advance.total)
            if live:
                sys.stderr.write(
                    f"\r\x1b[K{told(advance)}" + "\n" * (advance.done == advance.total)
                )
                sys.stderr.flush()
            elif ends or now - last >= EVERY:
                last = now
                sys.stderr.write(f"{told(advance)}\n")
            yield advance
    except BaseException:
        if live:
            with suppress(OSError):
                sys.stderr.write("\n")
        raise


def told(advance: Advance) -> str:
    """An advance as a line: `relay-Q4_K_M answers 12 of 550, 3.1 h left`."""
    from relay_gguf.display import duration, one_line

    left = (
        ""
        if advance.left is None or advance.done == advance.total
        else (f", {duration(advance.left)} left")
    )
    return f"{one_line(advance.what)} {advance.done} of {advance.total}{left}"
