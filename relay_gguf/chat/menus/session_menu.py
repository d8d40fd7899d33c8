"""The menu of saved sessions, which takes the place of the input line until one is chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import BufferControl, Layout
from prompt_toolkit.layout.processors import BeforeInput

from relay_gguf.conversation.session_files import Title, age, is_stamp
from relay_gguf.display import cut, one_line, status_line, width

from .overlay import Overlay, menu_layout

NARROW: Final = 60
"""Below this many columns, names that are only a time are left out, and `messages` is a number."""
WIDEST: Final = 20
"""Columns of a name or a channel, at most."""


class SessionMenu:
    """Saved sessions to choose from: typing filters them, the arrows move, Enter opens one."""

    def __init__(
        self,
        app: Application[Any],
        chosen: Callable[[str | None], None],
        now: Callable[[], float],
    ) -> None:
        """Show nothing yet.

        Args:
            app: the owner of the terminal, whose layout the menu replaces while it is open.
            chosen: called once the menu is closed, with the session's name or None.
            now: the time, in Unix time, for the sessions' ages.
        """
        self._app = app
        self._chosen = chosen
        self._now = now
        self._entries: list[_Entry] = []
        self._at = self._top = 0
        self._filter = Buffer(multiline=False, on_text_changed=self._filtered)
        self._overlay = Overlay(app)
        self._reading: asyncio.Task[None] | None = None

    def open(self, titles: Iterator[Title], label: str, here: str | None) -> None:
        """Take the place of the input line.

        Args:
            titles: the sessions, in their order; they are read while the menu is open.
            label: stands before what is typed.
            here: the name of the session that is open.
        """
        self._entries, self._at, self._top = [], 0, 0
        self._filter.reset()
        self._overlay.open(self._layout(label))
        self._reading = self._app.create_background_task(self._read(titles, here))

    def close(self, name: str | None = None) -> None:
        """Give the place back, and say which session was chosen."""
        if not self._overlay.is_open or self._reading is None:
            return
        self._reading.cancel()
        self._overlay.close()
        self._chosen(name)

    async def _read(self, titles: Iterator[Title], here: str | None) -> None:
        """Read the sessions' files; those that are read can be chosen meanwhile."""
        now = self._now()
        while (title := await asyncio.to_thread(next, titles, None)) is not None:
            self._entries.append(_entry(title, now, here))
            if len(self._entries) % 50 == 1:
                self._app.invalidate()
        self._app.invalidate()

    def _filtered(self, buffer: Buffer) -> None:
        self._at = self._top = 0

    @property
    def _found(self) -> list[_Entry]:
        """The sessions that have every word that was typed."""
        words = self._filter.text.casefold().split()
        return [entry for entry in self._entries if all(word in entry.words for word in words)]

    # Its rows

    @property
    def _n_rows(self) -> int:
        """Rows of the list: the upper half of the screen stays as it is."""
        rows = self._app.output.get_size().rows
        return max(1, min(len(self._entries), rows // 2, rows - 2))

    def _list(self) -> StyleAndTextTuples:
        found, n_rows = self._found, self._n_rows
        self._at = max(0, min(self._at, len(found) - 1))
        self._top = max(min(self._top, self._at, len(found) - n_rows), self._at - n_rows + 1, 0)
        if not found:
            return []
        columns = self._app.output.get_size().columns
        rows = _rows(found, slice(self._top, self._top + n_rows), columns)
        return [
            ("class:chosen", f"> {row}\n") if number == self._at else ("", f"  {row}\n")
            for number, row in enumerate(rows, self._top)
        ]

    def _keys_line(self) -> str:
        parts = (
            (0, f"{len(self._found)} of {len(self._entries)}"),
            (1, "Enter opens"),
            (2, "Esc leaves"),
            (4, "arrows and PgUp, PgDn move"),
            (3, "typing filters"),
        )
        return status_line(parts, self._app.output.get_size().columns)

    def _layout(self, label: str) -> Layout:
        control = BufferControl(
            self._filter,
            input_processors=[BeforeInput([("class:channel", label)])],
            key_bindings=self._keys(),
        )
        return menu_layout(control, self._list, lambda: self._n_rows, self._keys_line)

    # Its keys

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()
        steps: dict[str, Callable[[], int]] = {
            "up": lambda: -1,
            "c-p": lambda: -1,
            "down": lambda: 1,
            "c-n": lambda: 1,
            "pageup": lambda: -self._n_rows,
            "pagedown": lambda: self._n_rows,
            "c-home": lambda: -len(self._entries),
            "c-end": lambda: len(self._entries),
        }

        def move(key: str) -> Callable[[KeyPressEvent], None]:
            def step(event: KeyPressEvent) -> None:
                self._at = max(0, min(self._at + steps[key](), len(self._found) - 1))

            return step

        for key in steps:
            bindings.add(key)(move(key))

        @bindings.add("enter")
        def _(event: KeyPressEvent) -> None:
            if found := self._found:
                self.close(found[min(self._at, len(found) - 1)].name)

        @bindings.add("escape", eager=True)
        @bindings.add("c-c")
        @bindings.add("c-d")
        @bindings.add("c-g")
        @bindings.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            self.close()

        @bindings.add("left")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.cursor_left()

        @bindings.add("right")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.cursor_right()

        @bindings.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(" ".join(event.data.split()))

        return bindings


@dataclass(frozen=True, slots=True)
class _Entry:
    """A session as the menu shows it; `words` are what typed words are looked for in."""

    name: str
    shown_name: str
    channel: str
    age: str
    count: str
    line: str
    words: str

    def cells(self, *, narrow: bool) -> list[str]:
        """The columns of its row, without the first line."""
        name = "" if narrow and is_stamp(self.name) else self.shown_name
        count = self.count.partition(" ")[0] if narrow else self.count
        return [name, self.channel, self.age, count]


def _entry(title: Title, now: float, here: str | None) -> _Entry:
    mark = "(this one) " if title.name == here else "(from a pipe) " if title.piped else ""
    return _Entry(
        title.name,
        cut(one_line(title.name), WIDEST),
        cut(f"#{one_line(title.channel)}", WIDEST),
        age(now - title.changed),
        title.fault or f"{title.n_messages} message{'s' * (title.n_messages != 1)}",
        mark + one_line(title.first_line),
        f"{title.name} #{title.channel} {title.first_line}".casefold(),
    )


def _rows(entries: Sequence[_Entry], shown: slice, columns: int) -> list[str]:
    """Some entries as rows, in columns that are as wide as the widest of all entries."""
    narrow = columns < NARROW
    cells = [entry.cells(narrow=narrow) for entry in entries]
    name, channel, old, count = (max(map(width, column)) for column in zip(*cells, strict=True))
    rows = []
    for row, entry in zip(cells[shown], entries[shown], strict=True):
        parts = (
            row[0] + " " * (name - width(row[0])),
            row[1] + " " * (channel - width(row[1])),
            f"{row[2]:>{old}}",
            f"{row[3]:>{count}}",
            entry.line,
        )
        rows.append(cut("  ".join(filter(None, parts)).rstrip(), columns - 3))
    return rows
