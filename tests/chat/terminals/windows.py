"""A chat on a real terminal with a shell, shown by a terminal emulator (pyte)."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

import pexpect
import pyte
from screens import until


class _Answering(pyte.Screen):
    """An emulator that answers what it is asked, such as where the cursor is."""

    answer: Callable[[str], object]

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Window:
    """A real terminal with a shell in it; the chat that runs there has its reply held open."""

    def __init__(self, size: tuple[int, int], folder: Path) -> None:
        columns, rows = size
        self.folder = folder
        self._gate = folder / "gate"
        os.mkfifo(self._gate)
        tests = Path(__file__).parent
        self._child: Any = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile", "-i"],
            dimensions=(rows, columns),
            echo=True,
            env={
                **os.environ,
                "PS1": "$ ",
                "TERM": "xterm",
                "TZ": "UTC",
                "HISTFILE": "",
                "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join([*sys.path, str(tests), str(tests.parent)]),
            },
        )
        self._child.delaybeforesend = None
        self._screen: Any = _Answering(columns, rows)
        self._screen.answer = self._child.send
        self._emulator = pyte.ByteStream(self._screen)
        self._lock = Lock()
        self._closed = Flag()
        self._reader = Thread(target=self._read)
        self._reader.start()
        command = folder / "chat"
        command.write_text(f"#!/bin/sh\nexec {sys.executable} {tests / 'held_chat.py'} {folder}\n")
        command.chmod(0o700)
        self.type("clear; chat\r")
        self.waits_for("[#random]")

    def type(self, keys: str) -> None:
        """Press keys; as many as the terminal takes at once."""
        self._child.send(keys)

    def release(self, when: str = "now") -> None:
        """Let the reply go on that is held; `when` may be `cancelled`."""
        until(lambda: self._wrote(when), self)

    def _wrote(self, when: str) -> bool:
        try:
            gate = os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            return False
        with os.fdopen(gate, "w") as file:
            file.write(when)
        return True

    def resize(self, size: tuple[int, int]) -> None:
        """Change the window's size, of which nobody in the background is told."""
        columns, rows = size
        with self._lock:
            self._screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def kill(self, number: int) -> None:
        """Send a signal to the chat."""
        os.kill(int((self.folder / "pid").read_text()), number)

    @property
    def saved(self) -> str:
        """What the session's file has."""
        return "".join(path.read_text() for path in self.folder.glob("*.jsonl"))

    @property
    def text(self) -> str:
        """The screen without the spaces at the ends of its lines, and its last empty lines."""
        with self._lock:
            lines: list[str] = list(self._screen.display)
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def shows(self, literal: str, status: str = "") -> None:
        """Compare the screen, as soon as it can be right; `status` is its last row."""
        expected = inspect.cleandoc(literal)
        if status:
            rows = self._screen.lines - 1 - len(expected.split("\n"))
            expected += "\n" * (rows + 1) + f" {status}"
        until(lambda: self.text == expected, self)

    def waits_for(self, text: str) -> None:
        """Go on when a text stands on the screen."""
        until(lambda: text in self.text, self)

    def close(self) -> None:
        """Close the window; what runs in it is told so."""
        self._closed.set()
        self._reader.join()
        self._child.close(force=True)

    def _read(self) -> None:
        while not self._closed.is_set():
            try:
                data = self._child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return
            else:
                with self._lock:
                    self._emulator.feed(data)


@contextmanager
def opened(size: tuple[int, int], folder: Path) -> Iterator[Window]:
    """A window in which a chat waits for its first line."""
    window = Window(size, folder)
    try:
        yield window
    finally:
        window.close()
