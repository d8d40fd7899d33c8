"""A repository of made-up files, a watcher that takes notes, and `download` as a process."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from relay_gguf.hub.watcher import Download

CONTENT = b"GGUF" + random.Random(1).randbytes(399_996)
HALF = len(CONTENT) // 2
DIGEST = sha256(CONTENT).hexdigest()
NAME = "r-Q4_K_M.gguf"
PARTS = {f"F16/r-F16-0000{n}-of-00003.gguf": CONTENT[n:] for n in (1, 2, 3)}
REPO = {NAME: CONTENT, "small-Q8_0.gguf": b"GGUF small", "README.md": b"# r", **PARTS}

PROGRAM = """
import sys, typer
from relay_gguf.errors import RelayError
from relay_gguf.cli.download import download
from relay_gguf.hub import progress as fetch_screen

if "--ask-always" in sys.argv:
    fetch_screen.ASK_FROM = 0
    sys.argv.remove("--ask-always")
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(download)
try:
    app()
except RelayError as error:
    print(f"relay-gguf: {error}", file=sys.stderr)
    sys.exit(1)
"""
COMMAND = [sys.executable, "-c", PROGRAM]
"""The command `download` alone, which asks before any download if it is told to."""


@dataclass
class Notes:
    """A watcher that answers, and writes down what it is told."""

    answer: bool = True
    asked: list[Download] = field(default_factory=list)
    checked: list[tuple[int, int]] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    waited: int = 0

    def asks(self, download: Download) -> bool:
        self.asked.append(download)
        return self.answer

    def checking(self, done: int, total: int) -> None:
        self.checked.append((done, total))

    def progress(self, done: int, total: int) -> None:
        self.done.append((done, total))

    def waits(self) -> None:
        self.waited += 1


def leftovers(folder: Path) -> list[str]:
    """Files of ours that are not whole."""
    return sorted(path.name for path in folder.rglob("*relay-gguf*"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
