"""A chat on a terminal emulator (pyte), in this process or on a real terminal with a shell."""

from __future__ import annotations

import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any, Protocol

import pexpect
import pyte
from fake import engine_of
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from relay_gguf.chat.terminal import Terminal
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.session import Session

WIDE, SMALL = (80, 24), (40, 12)
PATIENCE = 30.0
"""Seconds until a screen that does not come counts as wrong."""


class _Stream(io.StringIO):
    """A terminal emulator, and all that was written to it."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.screen: Any = pyte.Screen(columns, rows)
        self._emulator: Any = pyte.Stream(self.screen)
        self._lock = Lock()

    def write(self, text: str) -> int:
        with self._lock:
            self._emulator.feed(text)
        return super().write(text)

    @property
    def text(self) -> str:
        """The screen without the spaces at the ends of its lines, and its last empty lines."""
        with self._lock:
            lines: list[str] = list(self.screen.display)
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")


class _Output(Vt100_Output):
    """An output that knows where the cursor is, as a terminal's answer to a query would tell."""

    def __init__(self, stream: _Stream) -> None:
        size = Size(rows=stream.screen.lines, columns=stream.screen.columns)
        super().__init__(stream, lambda: size)
        self._screen = stream.screen

    def get_rows_below_cursor_position(self) -> int:
        return int(self._screen.lines - self._screen.cursor.y)


class Chat:
    """A chat, and the screen on which it is."""

    def __init__(
        self,
        session: Session,
        keys: PipeInput,
        size: tuple[int, int] = SMALL,
        *,
        opening: Iterable[Event] = (),
        history: Path | None = None,
        colour: bool = False,
        prompts: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self._keys = keys
        self._stream = _Stream(*size)
        self._opening = opening
        self._terminal = Terminal(
            session,
            history,
            colour=colour,
            prompts=prompts,
            input=keys,
            output=_Output(self._stream),
            now=lambda: 1_700_000_000.0,
            clock=clock,
        )
        self._over = Flag()

    def type(self, keys: str) -> None:
        """Press keys; `\\r` is Enter."""
        self._keys.send_text(keys)

    def run(self) -> None:
        """Chat in this thread, until the typed keys leave."""
        try:
            self._terminal.run(self._opening)
        finally:
            self._over.set()

    def settles(self) -> None:
        """Go on when all that the session told is painted."""
        until(lambda: self._terminal._told.is_empty)

    def hang_up(self) -> None:
        """Close the input."""
        self._keys.close()

    def ends(self) -> None:
        """Go on when the chat is over."""
        assert self._over.wait(PATIENCE)

    def begins(self, literal: str) -> None:
        """Compare the screen down to the first empty row, as soon as it can be right."""
        expected = inspect.cleandoc(literal)
        until(lambda: self._stream.text.partition("\n\n")[0] == expected, self._stream)

    def shows(self, literal: str) -> None:
        """Compare the screen, as soon as it can be right."""
        expected = inspect.cleandoc(literal)
        until(lambda: self._stream.text == expected, self._stream)

    def waits_for(self, text: str) -> None:
        """Go on when a text stands on the screen."""
        until(lambda: text in self._stream.text, self._stream)

    @property
    def written(self) -> str:
        """Everything that was sent to the terminal."""
        return self._stream.getvalue()


@contextmanager
def chatting(session: Session, size: tuple[int, int] = SMALL, **options: Any) -> Iterator[Chat]:
    """A chat that goes on in another thread while the block types and looks."""
    with create_pipe_input() as keys:
        chat = Chat(session, keys, size, **options)
        thread = Thread(target=chat.run)
        thread.start()
        try:
            yield chat
        finally:
            keys.close()
            thread.join(PATIENCE)
        assert not thread.is_alive()


def chatted(session: Session, typed: str, size: tuple[int, int] = SMALL, **options: Any) -> Chat:
    """A chat that is over: all was typed in advance, and its last line leaves."""
    with create_pipe_input() as keys:
        chat = Chat(session, keys, size, **options)
        chat.type(typed)
        chat.run()
        return chat


class HasText(Protocol):
    """What shows a text."""

    @property
    def text(self) -> str: ...


def until(is_so: Callable[[], bool], screen: HasText | None = None) -> None:
    """Wait for something that another thread or process does; `screen` is shown if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(screen.text if screen else "not within the time")
        time.sleep(0.002)


class Gate:
    """Holds the replies of a fake session open before their token `count`."""

    def __init__(self, session: Session, count: int) -> None:
        self._open, self._engine, self._count = Flag(), engine_of(session), count
        self._engine.on_token = self._hold

    def open(self) -> None:
        """Let the reply go on."""
        self._open.set()

    def open_when_cancelled(self) -> None:
        """Let the reply go on as soon as it has been told to stop."""
        until(lambda: self._engine.is_cancelled)
        self._open.set()

    def _hold(self, count: int) -> None:
        if count == self._count:
            assert self._open.wait(PATIENCE)
            self._open.clear()


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
