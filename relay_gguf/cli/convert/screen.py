"""The screens of a conversion: a plan, a bar and a table; or JSON objects; or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as Bar,
)

from relay_gguf.convert.job import ConversionJob
from relay_gguf.convert.publish.folder import WrittenFolder, written_lines
from relay_gguf.convert.run import ConversionEvent, ConvertedFiles, Progress
from relay_gguf.display import one_line, size

from .text import plan_json, plan_lines, result_lines

if TYPE_CHECKING:
    from relay_gguf.quality.comparison import Comparison

STAGES: Final = {
    "wait": "waiting for another process",
    "open": "opening",
    "resume": "checking what is there",
    "convert": "converting",
    "verify": "checking",
}
"""Stage → the words beside the bar."""
EVERY: Final = 1.0
"""Seconds between two JSON objects of progress."""


COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)
"""What a bar shows."""


class ConversionScreen(Protocol):
    """Shows a conversion to a person or a program."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """Show the plan; in full for a dry run."""

    def notice(self, text: str) -> None:
        """Say that the hub does not answer; called by other threads too."""

    def say(self, lines: Iterable[str]) -> None:
        """Show what else a person should know."""

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Run the conversion to its end, and show its progress and result."""

    def folder(self, written: WrittenFolder, out: Path) -> None:
        """Show the files that were written beside the GGUF files."""

    def quality(self, found: Comparison) -> None:
        """Show how far the files are from the best of them."""


def chosen(*, quiet: bool, as_json: bool) -> ConversionScreen:
    """The screen for these options."""
    if as_json:
        return JsonScreen()
    return QuietScreen() if quiet else TextScreen()


class QuietScreen:
    """Shows nothing but errors."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """Show nothing."""

    def notice(self, text: str) -> None:
        """Show nothing."""

    def say(self, lines: Iterable[str]) -> None:
        """Show nothing."""

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Run the conversion silently."""
        for _ in events:
            pass

    def folder(self, written: WrittenFolder, out: Path) -> None:
        """Show nothing."""

    def quality(self, found: Comparison) -> None:
        """Show nothing."""


class JsonScreen:
    """Prints JSON objects, one on each line."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """Print the plan as an object."""
        self._print("plan", **plan_json(job, n_threads))

    def notice(self, text: str) -> None:
        """Print the text as an object."""
        self._print("notice", text=text)

    def say(self, lines: Iterable[str]) -> None:
        """Print each as an object."""
        for line in lines:
            self._print("note", text=line)

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Print progress once a second, and the report of each type."""
        last, stage = 0.0, ""
        for event in events:
            if isinstance(event, ConvertedFiles):
                report = {key: value for key, value in event.report.items() if key != "tensors"}
                self._print("finished", **report)
            elif event.stage != stage or time.monotonic() - last >= EVERY:
                last, stage = time.monotonic(), event.stage
                fields = {"stage": stage, "done": event.done, "total": event.total}
                if event.fetched is not None:
                    fields |= {"fetched": event.fetched.done, "to_fetch": event.fetched.total}
                self._print("progress", **fields, what=event.what)

    def folder(self, written: WrittenFolder, out: Path) -> None:
        """Print the names of the files and the notes."""
        self._print("folder", files=list(written.names), notes=list(written.notes))

    def quality(self, found: Comparison) -> None:
        """Print the whole comparison as an object."""
        from relay_gguf.quality.written import comparison_json

        self._print("quality", **comparison_json(found))

    def _print(self, event: str, **fields: Any) -> None:
        typer.echo(json.dumps({"event": event, **fields}, ensure_ascii=False))


class TextScreen:
    """Prints for a person: a bar on stderr if that is a terminal, the rest on stdout."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """Print the model, and the files to make."""
        _print_all(plan_lines(job, out, in_full=in_full, n_threads=n_threads))

    def notice(self, text: str) -> None:
        """Print a line on stderr, above the bar if there is one."""
        self._console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def say(self, lines: Iterable[str]) -> None:
        """Print them."""
        _print_all(map(one_line, lines))

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Show a bar, then print a table."""
        finished = [
            event for event in with_bar(events, self._console) if isinstance(event, ConvertedFiles)
        ]
        _print_all(result_lines(finished, out))

    def folder(self, written: WrittenFolder, out: Path) -> None:
        """Print the names of the files and the notes."""
        _print_all(written_lines(written, out))

    def quality(self, found: Comparison) -> None:
        """Print the tables."""
        from relay_gguf.quality.listing_text import comparison_lines

        _print_all(["", *comparison_lines(found)])


def with_bar(
    events: Iterator[ConversionEvent], console: Console | None = None
) -> Iterator[ConversionEvent]:
    """Pass events on, and show their progress as a bar on stderr if that is a terminal."""
    console = console or Console(stderr=True)
    with Bar(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        stage = ("", 0)
        for event in events:
            if isinstance(event, Progress):
                if (event.stage, event.total) != stage:  # each file is checked by itself
                    stage = (event.stage, event.total)
                    bar.reset(task, total=event.total, completed=event.done)
                    bar.start_task(task)
                bar.update(task, completed=event.done, description=described(event))
            yield event


@contextmanager
def measuring(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """What is told how many tensors of how many are measured: a bar on stderr, on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("measuring tensors"), BarColumn(), MofNCompleteColumn())
    hidden = quiet or not console.is_terminal
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden) as b:
        tasks: list[TaskID] = []

        def watch(done: int, total: int) -> None:
            if not tasks:
                tasks.append(b.add_task("", total=total))
            b.update(tasks[0], completed=done)

        yield watch


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def copying(steps: Iterator[tuple[int, int]]) -> None:
    """Show (bytes done, bytes in all) as a bar, if stderr is a terminal."""
    console = Console(stderr=True)
    with Bar(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("copying", total=None)
        for done, total in steps:
            bar.update(task, completed=done, total=total)


def described(event: Progress) -> str:
    """A stage in words."""
    said = STAGES[event.stage] + (f" {event.what}" if event.stage == "verify" else "")
    if (fetched := event.fetched) is not None:
        rate = f", {size(int(fetched.rate))}/s" if fetched.done < fetched.total else ""
        said += f" (fetched {size(fetched.done)} of {size(fetched.total)}{rate})"
    return said
