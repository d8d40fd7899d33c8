"""Programs that have to be installed, in terminals of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


class Screen:
    """A program in a terminal of its own, as tmux keeps it."""

    def __init__(self, folder: Path, *command: str) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", "120", "-y", "40", *command)

    def _run(self, *args: str) -> str:
        return subprocess.run(
            [*self._tmux, *args], check=True, capture_output=True, text=True
        ).stdout

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)
        self._run("send-keys", "Enter")

    def text(self) -> str:
        return self._run("capture-pane", "-p")

    def shows(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.text()

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
