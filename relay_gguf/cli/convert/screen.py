"""What a conversion shows: a plan, a bar, a table; or JSON objects; or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as Bar,
)

from relay_gguf.convert.job import ConversionJob
from relay_gguf.convert.publish.folder import Written, written_lines
from relay_gguf.convert.run import ConversionEvent, ConvertedFiles, Progress
from relay_gguf.convert.write.sizes import PresetSizes
from relay_gguf.display import one_line, size
from relay_gguf.errors import ConversionError
from relay_gguf.models.demo import FTYPE, Demo

from .text import demo_lines, plan_json, plan_lines, preset_lines, result_lines

STAGES: Final = {
    "wait": "waiting for another process",
    "open": "opening",
    "resume": "checking what is there",
    "convert": "converting",
    "verify": "checking",
}
CHECKED: Final = "checked in"
DONE: Final = {
    "wait": "waited",
    "open": "opened in",
    "resume": "opened in",
    "convert": "converted in",
    "verify": CHECKED,
}
"""What a step took its seconds for."""
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


class Screen(Protocol):
    """Shows a conversion."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """What will be done; all of it for a dry run."""

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """What is being done, to its end."""

    def folder(self, written: Written, out: Path) -> None:
        """What was written beside the files."""


def chosen(*, quiet: bool, as_json: bool) -> Screen:
    """The screen that the options ask for."""
    if as_json:
        return JsonScreen()
    return QuietScreen() if quiet else TextScreen()


class QuietScreen:
    """Shows nothing."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """Nothing."""

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Nothing."""
        for _ in events:
            pass

    def folder(self, written: Written, out: Path) -> None:
        """Nothing."""


class JsonScreen:
    """Prints an object a line."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """The plan."""
        self._print("plan", **plan_json(job, n_threads))

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """Progress once a second, and what is finished."""
        last, stage = 0.0, ""
        for event in events:
            if isinstance(event, ConvertedFiles):
                report = {key: value for key, value in event.report.items() if key != "tensors"}
                self._print("finished", **report)
            elif event.stage != stage or time.monotonic() - last >= EVERY:
                last, stage = time.monotonic(), event.stage
                fields = {"stage": stage, "done": event.done, "total": event.total}
                self._print("progress", **fields, what=event.what)

    def folder(self, written: Written, out: Path) -> None:
        """The names."""
        self._print("folder", files=list(written.names), notes=list(written.notes))

    def _print(self, event: str, **fields: Any) -> None:
        typer.echo(json.dumps({"event": event, **fields}, ensure_ascii=False))


class TextScreen:
    """Prints for a person: the bar on stderr, if that is a terminal, the rest on stdout."""

    def plan(self, job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None) -> None:
        """What goes in and what comes out."""
        _print_all(plan_lines(job, out, in_full=in_full, n_threads=n_threads))

    def run(self, events: Iterator[ConversionEvent], out: Path) -> None:
        """A bar, then a table."""
        finished = [event for event in _with_bar(events) if isinstance(event, ConvertedFiles)]
        _print_all(result_lines(finished, out))

    def folder(self, written: Written, out: Path) -> None:
        """The names."""
        _print_all(written_lines(written, out))


def _with_bar(events: Iterator[ConversionEvent]) -> Iterator[ConversionEvent]:
    """The events, with a bar on stderr over them, if that is a terminal."""
    console = Console(stderr=True)
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


def making(demo: Demo, events: Iterator[ConversionEvent]) -> None:
    """What the demo model is made of, a bar, and the seconds of each step: all on stderr."""
    into = f"{demo.adapter.name} merged into {demo.base.name}, as {FTYPE}"
    typer.echo(f"Making the demo model, the first time only: {into}.", err=True)
    seconds: dict[str, float] = {}
    last = time.monotonic()
    for event in _with_bar(events):
        step = DONE[event.stage] if isinstance(event, Progress) else CHECKED
        now = time.monotonic()
        seconds[step] = seconds.get(step, 0.0) + now - last
        last = now
    steps = ", ".join(f"{step} {count:.1f} s" for step, count in seconds.items())
    n_bytes = size(demo.path.stat().st_size)
    typer.echo(one_line(f"{steps[:1].upper()}{steps[1:]}: {n_bytes}, {demo.path}"), err=True)


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def copying(steps: Iterator[tuple[int, int]]) -> None:
    """A bar over (bytes done, bytes in all), if stderr is a terminal."""
    console = Console(stderr=True)
    with Bar(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("copying", total=None)
        for done, total in steps:
            bar.update(task, completed=done, total=total)


def described(event: Progress) -> str:
    """A stage in words."""
    return STAGES[event.stage] + (f" {event.what}" if event.stage == "verify" else "")


def print_presets(found: list[PresetSizes], *, as_json: bool) -> None:
    """The presets, as a table or as JSON."""
    if as_json:
        fields = [
            {"preset": p.preset.name, "description": p.preset.description, "bytes": dict(p.sizes)}
            for p in found
        ]
        typer.echo(json.dumps(fields, ensure_ascii=False))
        return
    _print_all(preset_lines(found))


def print_demo(demo: Demo, command: str) -> None:
    """What the demo model's report says, and the command that makes the same."""
    report = demo.report
    if report is None:
        raise ConversionError(f"{demo.path} is gone. Run the command again.")
    finished = ConvertedFiles(FTYPE, (demo.path,), report)
    _print_all(demo_lines(finished, demo.folder, command))
