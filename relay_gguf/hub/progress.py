"""What a download shows on stderr: a question, a bar; without a terminal, a line now and then."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

from relay_gguf.display import one_line, size, wrap

from .watcher import Download, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

ASK_FROM: Final = 10**9
"""Bytes to download above which a person is asked."""
EVERY: Final = 10.0
"""Seconds between two lines where there is no bar."""
NARROW: Final = 60
"""Columns of a terminal below which the bar itself is left out."""
WAITING: Final = "Another process is downloading this file: waiting for it. Ctrl-C stops waiting."


@contextmanager
def watching(*, yes: bool = False) -> Iterator[Watcher]:
    """Somebody who watches downloads, as stderr allows; with `yes` nobody is asked."""
    screen = BarScreen(yes=yes or not can_ask()) if _is_terminal() else LineScreen()
    try:
        yield screen
    finally:
        screen.close()


def can_ask() -> bool:
    """Whether there is somebody at a terminal who reads stderr and types an answer."""
    return _is_terminal() and sys.stdin.isatty()


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class LineScreen:
    """Says what is downloaded, and now and then how far it is."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._begun: tuple[float, int] | None = None
        self._waiting = False

    def asks(self, download: Download) -> bool:
        """Yes."""
        return _say(f"Downloading {described(download)} ...")

    def checking(self, done: int, total: int) -> None:
        """A line now and then."""
        if self._is_time():
            _say(f"checked {_share(done, total)}")

    def progress(self, done: int, total: int) -> None:
        """A line now and then."""
        now = time.monotonic()
        self._begun = self._begun or (now, done)
        if self._is_time():
            seconds, n_bytes = now - self._begun[0], done - self._begun[1]
            speed = f", {size(int(n_bytes / seconds))}/s" if seconds > 1 else ""
            _say(f"{_share(done, total)}{speed}")

    def waits(self) -> None:
        """A line, once."""
        self._waiting = self._waiting or _say(WAITING)

    def close(self) -> None:
        """Nothing."""

    def _is_time(self) -> bool:
        due = time.monotonic() - self._last >= EVERY
        if due:
            self._last = time.monotonic()
        return due


class BarScreen:
    """Asks before a large download, then shows a bar."""

    def __init__(self, *, yes: bool) -> None:
        self._yes = yes
        self._bar: Progress | None = None
        self._stage = ""
        self._waiting = False

    def asks(self, download: Download) -> bool:
        """Whether to download, if it is large and nobody said yes before.

        Raises:
            click.Abort: Ctrl-C or Ctrl-D instead of an answer.
        """
        if self._yes or download.missing <= ASK_FROM:
            return _say(_wrapped(f"Downloading {described(download)} ..."))
        question = _wrapped(f"Download {described(download)}? [Y/n]")
        return typer.confirm(
            question, default=True, show_default=False, prompt_suffix=" ", err=True
        )

    def checking(self, done: int, total: int) -> None:
        """The bar."""
        self._show("checking", done, total)

    def progress(self, done: int, total: int) -> None:
        """The bar."""
        self._show("downloading", done, total)

    def waits(self) -> None:
        """A line, once."""
        self._waiting = self._waiting or _say(_wrapped(WAITING))

    def close(self) -> None:
        """The bar is gone."""
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
    parts = f" in {n_files} files" if n_files > 1 else ""
    there = download.total - download.missing
    sizes = f"{size(download.total)}{f', {size(there)} of it are here' if there else ''}"
    facts = ", ".join(filter(None, (sizes, licence_text(download.licence))))
    return one_line(f"{name}{parts} ({facts}) from {download.repo}")


def licence_text(licence: str) -> str:
    """A licence by its own name, and what most people should know of it."""
    match = re.fullmatch(r"(cc-by[a-z-]*)-(\d\.\d)", licence)
    name = f"{match[1].upper()} {match[2]}" if match else licence
    commercial = ": not for commercial use" if re.search(r"(^|-)nc(-|$)", licence) else ""
    return name + commercial


def _share(done: int, total: int) -> str:
    return f"{done * 100 // max(1, total)} % of {size(total)}"


def _say(text: str) -> bool:
    typer.echo(text, err=True)
    return True


def _wrapped(text: str) -> str:
    """A text in lines of the terminal, broken between words."""
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
