"""The input line: its keys, completion and history, and keys that are typed ahead of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.export import FORMATS
from relay_gguf.conversation.session import Session


def keys(on_clear: Callable[[], None]) -> KeyBindings:
    """Key bindings: Enter sends, Alt-Enter breaks the line, Ctrl-C clears it or asks to leave.

    `on_clear` is called after Ctrl-C has cleared a line.
    """
    bindings = KeyBindings()

    @bindings.add("enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
            on_clear()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    return bindings


class CommandCompleter(Completer):
    """Commands at the beginning of the line, and the arguments that can be listed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/"):
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for command in COMMANDS.values():
                if command.name.startswith(name):
                    yield Completion(f"/{command.name}", -len(text), command.usage, command.help)
            return
        choices = {
            "export": list(FORMATS),
            "help": list(COMMANDS),
            "load": self._session.names,
        }.get(name, [])
        for choice in choices:
            if choice.startswith(argument):
                yield Completion(choice, -len(argument))


class _SafeHistory(FileHistory):
    """A history whose file may fail: the chat goes on without it."""

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


def history_at(path: Path | None) -> History:
    """Typed lines of earlier chats, in a file that only the user can read.

    They are kept in memory alone without a path, or if the file cannot be written.
    """
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _SafeHistory(str(path))


@contextmanager
def silent_keys() -> Iterator[None]:
    """Within the block, keys typed ahead are not echoed; they wait for the prompt."""
    try:
        import termios
    except ImportError:  # Windows echoes nothing that nobody reads
        yield
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return
    quiet = [*before]
    quiet[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
