"""How far the reading of a model is, on stderr: a line that changes, or a line for each file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from relay_gguf.display import duration, one_line


class ReadingLine:
    """A line on stderr that tells which file is read, how far it is and how long it will take."""

    def __init__(self, now: Callable[[], float] = time.monotonic, *, quiet: bool = False) -> None:
        """Show nothing yet; `now` tells the time in seconds."""
        self._now, self._quiet = now, quiet
        self._name, self._first, self._since = "", 0, 0.0
        self._drawn = False

    def __call__(self, name: str, done: int, total: int) -> None:
        """Tell that `done` of `total` chunks of text are read."""
        if self._quiet:
            return
        if name != self._name:
            self._name, self._first, self._since = name, done, self._now()
            if not sys.stderr.isatty():
                sys.stderr.write(f"Measuring {one_line(name)} ...\n")
        if not sys.stderr.isatty():
            return
        left = ""
        if done > self._first:
            each = (self._now() - self._since) / (done - self._first)
            left = f", {duration(each * (total - done))} left"
        line = one_line(f"{name[:50]}: {done} of {total}{left}")
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._drawn = False
