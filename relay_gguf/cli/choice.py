"""Questions to the user, on stderr: which of Relay's files to take, whether to download.

Where there is nobody to ask, `models.suggest` decides.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import typer

from relay_gguf.display import size
from relay_gguf.hub.progress import Confirm, is_terminal, licence_text
from relay_gguf.hub.rate import download_rate
from relay_gguf.hub.watcher import DeclinedError
from relay_gguf.models.listing import BUSY, WORDS, rate, reply_seconds, seconds

if TYPE_CHECKING:
    from relay_gguf.fit.choose import Candidate
    from relay_gguf.models.opening import Choose
    from relay_gguf.models.suggest import Suggestion

LEAVE: Final = ("q", "quit", "exit")
TITLES: Final = ("type", "size", "speed", f"{WORDS} words", "download")


def can_ask() -> bool:
    """Whether somebody at a terminal reads stderr and can type an answer."""
    return is_terminal() and sys.stdin.isatty()


def choosing(*, yes: bool) -> Choose | None:
    """`ask`, if there is somebody to ask who did not say --yes; else None."""
    return ask if can_ask() and not yes else None


def confirming(*, yes: bool) -> Confirm | None:
    """`confirm`, if there is somebody to ask who did not say --yes; else None."""
    return confirm if can_ask() and not yes else None


def confirm(question: str) -> bool:
    """Ask a question that Enter answers with yes.

    Raises:
        typer.Abort: Ctrl-C or Ctrl-D instead of an answer.
    """
    return typer.confirm(question, default=True, show_default=False, prompt_suffix=" ", err=True)


def ask(found: Suggestion, usual: Candidate) -> Candidate:
    """Let the user choose among the files that fit.

    The speed of the hub is measured first, which takes 2 s.

    Args:
        found: the published files on this machine.
        usual: the file that Enter takes.

    Raises:
        DeclinedError: the user chose none.
        typer.Abort: Ctrl-C or Ctrl-D instead of an answer.
    """
    fitting = [candidate for candidate in found.candidates if candidate.plan is not None]
    missing = [candidate for candidate in fitting if candidate.file.ftype not in found.here]
    file = usual.file if usual in missing else missing[0].file if missing else None
    speed = download_rate(file.repo, file.file) if file else None
    for line in table(found, fitting, usual, speed):
        typer.echo(line, err=True)
    question = f"Which one? Its number or type, Enter for {usual.file.ftype}, q to leave:"
    while True:
        typer.echo(f"{question} ", nl=False, err=True)  # typer's own prompt writes to stdout too
        line = sys.stdin.readline()
        if not line:
            raise typer.Abort
        said = line.strip()
        if said.lower() in LEAVE:
            raise DeclinedError("No file was chosen. `relay-gguf chat --demo` takes a small model.")
        chosen = usual if not said else _named(said, fitting)
        if chosen is not None:
            return chosen
        types = ", ".join(candidate.file.ftype for candidate in fitting)
        typer.echo(
            f"{said!a} is neither a number from 1 to {len(fitting)} nor one of {types}.", err=True
        )


def table(
    found: Suggestion, fitting: Sequence[Candidate], usual: Candidate, speed: float | None
) -> Iterator[str]:
    """The lines of the table to choose from.

    Args:
        found: the published files on this machine.
        fitting: those that fit.
        usual: the file that is marked.
        speed: bytes a second that the hub sends; None if unknown.
    """
    yield f"No file of Relay's reaches {found.min_speed:g} tokens a second on this machine:"
    rows = [TITLES]
    for candidate in fitting:
        here = candidate.file.ftype in found.here
        rows.append(
            (
                candidate.file.ftype,
                size(candidate.file.size),
                f"{rate(candidate.speed)} t/s",
                seconds(reply_seconds(candidate.speed)),
                "here" if here else minutes(candidate.file.size, speed),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for number, (ftype, *rest) in enumerate(rows):
        mark = "*" if number and fitting[number - 1] is usual else " "
        columns = "  ".join(f"{c:>{w}}" for c, w in zip(rest, widths[1:], strict=True))
        yield f"{mark} {number or '':>{len(str(len(fitting)))}}  {ftype:{widths[0]}}  {columns}"
    file = usual.file
    licence = licence_text(file.license.lower().replace(" ", "-"))
    yield f"From {file.repo} ({licence})."
    if found.machine.measured_busy:
        yield BUSY


def minutes(n_bytes: int, speed: float | None) -> str:
    """The time of a download as text, `12 min`; `?` if unknown.

    Args:
        n_bytes: to download.
        speed: bytes a second; None if unknown.
    """
    return "?" if not speed else f"{math.ceil(n_bytes / speed / 60)} min"


def _named(said: str, fitting: Sequence[Candidate]) -> Candidate | None:
    """The file with a number of the table or of a type; None if there is none."""
    if said.isascii() and said.isdigit():
        number = int(said)
        return fitting[number - 1] if 0 < number <= len(fitting) else None
    return next((c for c in fitting if c.file.ftype.lower() == said.lower()), None)
