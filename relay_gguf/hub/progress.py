"""Downloads shown on stderr: a question and a bar; without a terminal, a line now and then."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from relay_gguf.display import one_line, size, wrap

from .watcher import Download, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

ASK_FROM: Final = 10**9
"""Bytes to download above which the user is asked."""
EVERY: Final = 10.0
"""Seconds between two lines, without a bar."""
NARROW: Final = 60
"""Columns of a terminal below which only the numbers of the bar are shown."""
WAITING: Final = "Another process is downloading this file: waiting for it. Ctrl-C stops waiting."

Confirm = Callable[[str], bool]
"""Asks the user a question; True for yes."""


@contextmanager
def watching(confirm: Confirm | None = None) -> Iterator[Watcher]:
    """A watcher that shows downloads on stderr: a bar on a terminal, else a line now and then.

    Args:
        confirm: asks whether to download a large file; None downloads without a question.
    """
    screen = BarScreen(confirm) if is_terminal() else LineScreen()
    try:
        yield screen
    finally:
        screen.close()


def is_terminal() -> bool:
    """Whether stderr is a terminal that can draw."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class LineScreen:
    """Says what is downloaded, and every `EVERY` seconds how far it is."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begin; `now` tells the time in seconds."""
        self._now = now
        self._last = now()
        self._begun: tuple[float, int] | None = None
        self._waiting = False

    def asks(self, download: Download) -> bool:
        """Always: there is nobody to ask."""
        return _say(f"Downloading {described(download)} ...")

    def checking(self, done: int, total: int) -> None:
        """Write a line if the last one is `EVERY` seconds old."""
        if self._is_time():
            _say(f"checked {_share(done, total)}")

    def progress(self, done: int, total: int) -> None:
        """Write a line with the speed if the last one is `EVERY` seconds old."""
        now = self._now()
        self._begun = self._begun or (now, done)
        if self._is_time():
            seconds, n_bytes = now - self._begun[0], done - self._begun[1]
            speed = f", {size(int(n_bytes / seconds))}/s" if seconds > 1 else ""
            _say(f"{_share(done, total)}{speed}")

    def waits(self) -> None:
        """Write a line, the first time."""
        self._waiting = self._waiting or _say(WAITING)

    def close(self) -> None:
        """Do nothing: each line is written at once."""

    def _is_time(self) -> bool:
        due = self._now() - self._last >= EVERY
        if due:
            self._last = self._now()
        return due


class BarScreen:
    """Asks before a large download, then shows a bar."""

    def __init__(self, confirm: Confirm | None) -> None:
        """Begin without a bar; `confirm` None asks nobody."""
        self._confirm = confirm
        self._bar: Progress | None = None
        self._stage = ""
        self._waiting = False

    def asks(self, download: Download) -> bool:
        """Whether to download; the user is asked about more than `ASK_FROM` bytes."""
        if self._confirm is None or download.missing <= ASK_FROM:
            return _say(_wrapped(f"Downloading {described(download)} ..."))
        return self._confirm(_wrapped(f"Download {described(download)}? [Y/n]"))

    def checking(self, done: int, total: int) -> None:
        """Move the bar of checking."""
        self._show("checking", done, total)

    def progress(self, done: int, total: int) -> None:
        """Move the bar of downloading."""
        self._show("downloading", done, total)

    def waits(self) -> None:
        """Write a line, the first time."""
        self._waiting = self._waiting or _say(_wrapped(WAITING))

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:  # a bar of its own: the speed of the one says nothing of the other
            self.close()
            self._bar, self._stage = _bar(), stage
            self._bar.add_task(stage, total=total, completed=done)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)


def described(download: Download) -> str:
    """`relay-Q4_K_M.gguf (7.48 GB, CC-BY-NC 4.0: not for commercial use) from danlou/relay`."""
    name = download.files[0].rpartition("/")[2]
    n_files = len(download.files)
    shards = f" in {n_files} files" if n_files > 1 else ""
    there = download.total - download.missing
    sizes = f"{size(download.total)}{f', {size(there)} of it are here' if there else ''}"
    notes = ", ".join(filter(None, (sizes, licence_text(download.licence))))
    return one_line(f"{name}{shards} ({notes}) from {download.repo}")


def licence_text(licence: str) -> str:
    """A licence's name, from the hub's identifier, and whether commercial use is excluded."""
    match = re.fullmatch(r"(cc-by[a-z-]*)-(\d\.\d)", licence)
    name = f"{match[1].upper()} {match[2]}" if match else licence
    commercial = ": not for commercial use" if re.search(r"(^|-)nc(-|$)", licence) else ""
    return name + commercial


def _share(done: int, total: int) -> str:
    return f"{done * 100 // max(1, total)} % of {size(total)}"


def _say(text: str) -> bool:
    """Write a line to stderr; True, always."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return True


def _wrapped(text: str) -> str:
    """A text wrapped to the width of the terminal."""
    return wrap(text, os.get_terminal_size(sys.stderr.fileno()).columns or 80)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    ]
    if console.width >= NARROW:
        columns = [TextColumn("{task.description}"), BarColumn(), *columns]
    return Progress(*columns, console=console, transient=True)
