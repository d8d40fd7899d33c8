"""The input line: its keys, completion and history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, Dimension, Window
from prompt_toolkit.layout.dimension import to_dimension
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import suspend_to_background_supported

from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.export import FORMATS
from relay_gguf.conversation.session import Session

from .suspend import suspend

STYLE = Style.from_dict(
    {
        "bottom-toolbar": "noreverse fg:ansibrightblack",
        "channel": "bold",
        "chosen": "bold",
        "completion-menu": "",
        "waiting": "fg:ansibrightblack",
    }
)


def input_line(
    session: Session,
    history: Path | None,
    bindings: KeyBindings,
    *,
    label: Callable[[], FormattedText],
    toolbar: Callable[[], str],
    colour: bool,
    input: Input | None,
    output: Output,
) -> PromptSession[None]:
    """The input line, and the application that owns the terminal.

    Args:
        session: the conversation, for completion.
        history: where typed lines are remembered; None forgets.
        bindings: see `keys`.
        label: what stands above and before the line.
        toolbar: the row at the bottom of the screen.
        colour: whether to use colours.
        input: a prompt_toolkit input instead of stdin.
        output: where it is drawn.
    """
    prompt: PromptSession[None] = PromptSession(
        message=label,
        history=history_at(history),
        completer=CommandCompleter(session),
        complete_while_typing=False,
        multiline=True,
        erase_when_done=True,
        key_bindings=bindings,
        bottom_toolbar=toolbar,
        prompt_continuation=lambda width, number, soft: " " * width,
        style=STYLE,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        input=input,
        output=output,
    )
    bound_height(prompt.app.layout.current_window, lambda: output.get_size().rows // 2)
    return prompt


def keys(
    *,
    interrupt: Callable[[], None],
    leave: Callable[[], None],
    choose: Callable[[str], None],
    can_choose: Callable[[], bool],
    has_draft: Callable[[], bool],
    moved: Callable[[], None],
) -> KeyBindings:
    """Key bindings: Enter sends, Alt-Enter breaks the line, and what the callables say.

    Args:
        interrupt: Ctrl-C.
        leave: Ctrl-D on an empty line.
        choose: the arrows on an empty line, with the command that they stand for.
        can_choose: whether there is more than one reply to choose from.
        has_draft: whether the line is a draft as it came: a slash begins a command in its place.
        moved: what is above the line is no longer where it was: Ctrl-L, and Ctrl-Z and fg.
    """
    bindings = KeyBindings()
    writes = ~is_searching
    is_empty = writes & Condition(lambda: not get_app().current_buffer.text)

    @bindings.add("enter", filter=writes)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c", filter=writes)
    @bindings.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        interrupt()

    @bindings.add("c-d", filter=is_empty)
    def _(event: KeyPressEvent) -> None:
        leave()

    @bindings.add("left", filter=is_empty & Condition(can_choose))
    def _(event: KeyPressEvent) -> None:
        choose("/prev")

    @bindings.add("right", filter=is_empty & Condition(can_choose))
    def _(event: KeyPressEvent) -> None:
        choose("/next")

    @bindings.add("/", filter=writes & Condition(has_draft))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.save_to_undo_stack()
        event.current_buffer.document = Document("/")

    @bindings.add("c-l")
    def _(event: KeyPressEvent) -> None:
        event.app.renderer.clear()
        moved()

    @bindings.add("c-z", filter=Condition(suspend_to_background_supported))
    def _(event: KeyPressEvent) -> None:
        suspend(moved)

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


def bound_height(window: Window, rows: Callable[[], int]) -> None:
    """Let a long text scroll within some rows of the screen, so that what is above stays there."""
    reserved, control = window.height, window.content

    def height() -> Dimension:
        least = to_dimension(reserved).min
        if not isinstance(control, BufferControl):
            return Dimension(min=least)
        columns = window.render_info.window_width if window.render_info else 80
        needed = control.preferred_height(columns, rows(), True, None) or 1
        return Dimension(min=least, preferred=max(least, needed))

    window.height = height
