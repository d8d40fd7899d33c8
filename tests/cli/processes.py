"""The program as a process, and its commands within the tests' own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from relay_gguf.cli import app as cli


def refused(*arguments: str | Path) -> str:
    """What a chat that cannot begin says."""
    done = relay("chat", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("relay-gguf: ")
    assert "This is a bug" not in line
    return line.removeprefix("relay-gguf: ")


def done(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code of a command, its stdout and stderr."""
    code = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


COMMAND = [sys.executable, "-m", "relay_gguf"]


PATIENCE = 60.0
"""Seconds after which a process hangs."""


def relay(*arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


class Chat:
    """A chat of objects that goes on while the test looks."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "chat", "--json", "--threads", "1", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._watchdog = Timer(PATIENCE, self.process.kill)

    def __enter__(self) -> Chat:
        self._watchdog.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def type(self, line: str) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def next(self, **wanted: Any) -> dict[str, Any]:
        """The next object that has these fields; those before it are skipped."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            fields: dict[str, Any] = json.loads(line)
            if wanted.items() <= fields.items():
                return fields
        raise AssertionError(f"{wanted} did not come: {self.process.communicate()[1]}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Close its input; its exit code and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors
