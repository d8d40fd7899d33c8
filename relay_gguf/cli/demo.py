"""`relay-gguf demo`, and the demo model for other commands: made on first use, with its progress.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from relay_gguf.errors import ConversionError, SettingsError

from .options import Debug

if TYPE_CHECKING:
    from relay_gguf.conversation.events import Event
    from relay_gguf.conversation.session import Session
    from relay_gguf.convert.request import Request
    from relay_gguf.convert.run import ConversionEvent, ConvertedFiles
    from relay_gguf.models.demo import Demo

DEMO_FOLDER: Final = re.compile(r"[0-9a-f]{16}")
"""Names of the folders of demo models: nothing else in the cache is removed."""
VERIFIED: Final = "checked in"
STEPS: Final = {
    "wait": "waited",
    "open": "opened in",
    "resume": "opened in",
    "convert": "converted in",
    "verify": VERIFIED,
}
"""Stage of a conversion → the words before its seconds."""


def demo(debug: Debug = False) -> None:
    """Show how the demo model is made, and its report.

    It is made first, if it does not exist.
    """
    from relay_gguf.models.demo import find_demo

    found = find_demo()
    if found.report is None:
        show_making(found, make(found))
    print_demo(found, command(found, "models"))


def make(demo: Demo) -> Iterator[ConversionEvent]:
    """Make the demo model, unless another process does; then remove those of other versions.

    Raises:
        ConversionError: the cache cannot be written, or its disk has not enough room.
    """
    from relay_gguf.convert.once import run_once

    def remove_others() -> None:
        for folder in demo.folder.parent.iterdir():
            if folder != demo.folder and DEMO_FOLDER.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    yield from run_once(
        demo_request(demo),
        demo.folder,
        is_done=lambda: demo.report is not None,
        clean_up=remove_others,
    )


def demo_request(demo: Demo) -> Request:
    """The request for the demo model's file."""
    from relay_gguf.convert.request import Request
    from relay_gguf.models.demo import FTYPE

    return Request(
        base=str(demo.base),
        ftypes=(FTYPE,),
        adapter=str(demo.adapter),
        allow_requantize=True,
    )


def command(demo: Demo, out: str) -> str:
    """The command that makes the same file, for this system's shell."""
    from relay_gguf.models.demo import FTYPE

    words = ["relay-gguf", "convert", str(demo.base), "--adapter", str(demo.adapter)]
    words += ["--allow-requantize", "--quant", FTYPE, "--out", out]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def demo_file(found: Demo | None = None) -> Path:
    """The path of the demo model, which is made the first time, with its progress on stderr.

    Where it cannot be made, as on a read-only disk, the path of plain SmolLM2, and a line on stderr
    that says why.

    Args:
        found: the demo model; None finds that of this version.

    Raises:
        ModelError: the `demo` extra is not installed.
    """
    from relay_gguf.display import one_line
    from relay_gguf.models.demo import demo_model, find_demo

    try:
        found = found or find_demo()
        if found.report is None:
            show_making(found, make(found))
    except (ConversionError, SettingsError) as error:  # or there is no folder for it
        text = f"{error} Without it you talk to plain SmolLM2, which was never trained on IRC."
        typer.echo(one_line(f"The demo model cannot be made: {text}"), err=True)
        return found.base if found else demo_model()
    return found.path


def show_making(demo: Demo, events: Iterator[ConversionEvent]) -> None:
    """Make the demo model: its parts, a bar, and the seconds of each step, all on stderr."""
    from relay_gguf.convert.run import Progress
    from relay_gguf.display import one_line, size
    from relay_gguf.models.demo import FTYPE

    from .convert.screen import with_bar

    into = f"{demo.adapter.name} merged into {demo.base.name}, as {FTYPE}"
    typer.echo(f"Making the demo model, the first time only: {into}.", err=True)
    seconds: dict[str, float] = {}
    last = time.monotonic()
    for event in with_bar(events):
        step = STEPS[event.stage] if isinstance(event, Progress) else VERIFIED
        now = time.monotonic()
        seconds[step] = seconds.get(step, 0.0) + now - last
        last = now
    steps = ", ".join(f"{step} {count:.1f} s" for step, count in seconds.items())
    n_bytes = size(demo.path.stat().st_size)
    typer.echo(one_line(f"{steps[:1].upper()}{steps[1:]}: {n_bytes}, {demo.path}"), err=True)


def print_demo(demo: Demo, command: str) -> None:
    """Print the demo model's report, and the command that makes the same file.

    Raises:
        ConversionError: another process has removed the model.
    """
    from relay_gguf.convert.run import ConvertedFiles
    from relay_gguf.models.demo import FTYPE

    report = demo.report
    if report is None:
        raise ConversionError(f"{demo.path} was removed meanwhile. Run the command again.")
    for line in demo_lines(ConvertedFiles(FTYPE, (demo.path,), report), demo.folder, command):
        typer.echo(line)


def demo_lines(finished: ConvertedFiles, folder: Path, command: str) -> Iterator[str]:
    """The demo model's origin, its report, and how the same is made by hand."""
    from relay_gguf.convert.inspect.overview import merge_in_words
    from relay_gguf.display import one_line

    from .convert.text import result_lines

    origin = finished.report["origin"]
    yield one_line(merge_in_words(origin))
    yield one_line(f"{origin['merge_base']}: {origin['merge_reason']}.")
    yield from result_lines([finished], folder)
    yield ""
    yield "The same by hand:"
    yield f"  {command}"
    yield "Talk to it:"
    yield "  relay-gguf chat --demo"


def demo_notes() -> str:
    """What a chat with the demo model begins with: what it is, how to get Relay, what to try."""
    from relay_gguf.models.demo import SCENE

    lines = "".join(f"\n  {line}" for line in SCENE.lines)
    return (
        "This is the demo model, a toy a hundred times smaller than Relay: it has learned to chat "
        "in a channel, and nothing else. `relay-gguf chat` without --demo takes Relay itself; "
        f"`relay-gguf models` shows its files. Try:{lines}"
    )


def demo_scene(session: Session) -> Iterator[Event]:
    """Open a scene that the demo model is good at; nobody typed it, so it is not worth a file."""
    from relay_gguf.conversation import messages as rules
    from relay_gguf.conversation.messages import NICKS
    from relay_gguf.models.demo import SCENE

    yield from session.start()
    channel = session.transcript.channel
    yield from session.add("", *rules.topic(NICKS, "input", channel, SCENE.topic))
    yield from session.add("", *rules.cast(NICKS, "input", SCENE.bio))
