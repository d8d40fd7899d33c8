"""A chat in this process, on a terminal emulator (pyte)."""

from __future__ import annotations

import inspect
import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any, Protocol

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
        reads_ahead: bool = False,
        now: Callable[[], float] = lambda: 1_700_000_000.0,
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
            reads_ahead=reads_ahead,
            input=keys,
            output=_Output(self._stream),
            now=now,
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
