"""The menu of replies that are drawn at once: they are read while they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, Layout

from relay_gguf.conversation.events import Alternative, Piece, Said, Typing
from relay_gguf.display import cut, one_line, status_line, visible, width, wrap

from .overlay import Overlay, menu_layout

DIGITS: Final = "123456789"


@dataclass(slots=True)
class _Row:
    """A reply: `row` is its place among those being drawn, None for the one that stands."""

    row: int | None
    number: int
    text: str = ""
    is_written: bool = False
    is_kept: bool = False


class ReplyMenu:
    """Replies to choose from: the arrows move, Enter or a digit takes one, Esc takes none."""

    def __init__(
        self,
        app: Application[Any],
        chosen: Callable[[int | None], None],
        settle: Callable[[int], None],
    ) -> None:
        """Show nothing yet.

        Args:
            app: the owner of the terminal, whose layout the menu replaces while it is open.
            chosen: called once the menu is closed, with the reply's number, or None for the one
                that stands.
            settle: stops all but one of those that are being drawn.
        """
        self._overlay = Overlay(app)
        self._app = app
        self._chosen = chosen
        self._settle = settle
        self._rows: list[_Row] = []
        self._at = self._top = self._first = 0
        self._wanted: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has the place of the input line."""
        return self._overlay.is_open

    def open(self, label: str, standing: str | None, number: int, count: int) -> None:
        """Take the place of the input line.

        Args:
            label: stands above the replies.
            standing: the reply that stands; None if there is none.
            number: of that reply.
            count: replies that there are already.
        """
        self._rows = [] if standing is None else [_Row(None, number, standing, True, True)]
        self._at, self._top, self._wanted, self._first = len(self._rows), 0, None, count + 1
        self._overlay.open(self._layout(label))

    def take(self, told: Alternative) -> None:
        """Take in what became of a reply."""
        row = self._row(told.row)
        match told.event:
            case Typing():
                row.text = ""
            case Piece(text):
                row.text += text
            case Said(message):
                row.text, row.is_written = message.content, True
                row.is_kept, row.number = True, told.number or row.number
                if self._wanted == told.row:
                    self.close(row.number)
            case None:
                self._rows.remove(row)
                self._at = min(self._at, max(0, len(self._rows) - 1))

    def close(self, number: int | None = None) -> None:
        """Give the place back, and say which reply was chosen."""
        if self._overlay.is_open:
            self._overlay.close()
            self._chosen(number)

    def _row(self, wanted: int) -> _Row:
        for row in self._rows:
            if row.row == wanted:
                return row
        self._rows.append(_Row(wanted, self._first + wanted))
        self._rows.sort(key=lambda row: -1 if row.row is None else row.row)
        return self._row(wanted)

    def _take(self, index: int) -> None:
        """Choose a row; one that is being written is taken when it is whole."""
        row = self._rows[index]
        if row.row is None:
            self.close()
            return
        self._at, self._wanted = index, row.row
        self._settle(row.row)
        if row.is_kept:
            self.close(row.number)

    # Its rows

    @property
    def _limit(self) -> int:
        """Rows of the list: the upper half of the screen stays as it is."""
        rows = self._app.output.get_size().rows
        return max(1, min(rows // 2, rows - 2))

    def _blocks(self) -> list[list[str]]:
        """The screen rows of each reply: the chosen one is told in full."""
        columns = self._app.output.get_size().columns
        size = max((width(str(row.number)) for row in self._rows), default=1)
        blocks = []
        for index, row in enumerate(self._rows):
            head = f"{'>' if index == self._at else ' '} {row.number:>{size}} "
            mark = "" if row.is_written else " ..."
            if index == self._at:
                text = wrap(visible(row.text.strip() + mark), columns - 1, len(head), len(head))
                blocks.append(f"{head}{text}".split("\n"))
            else:
                text = cut(one_line(row.text), columns - 1 - len(head) - len(mark))
                blocks.append([f"{head}{text}{mark}"])
        return blocks

    def _list(self) -> StyleAndTextTuples:
        blocks, limit = self._blocks(), self._limit
        rows = [(index, text) for index, block in enumerate(blocks) for text in block]
        start = sum(len(block) for block in blocks[: self._at])
        stop = start + (len(blocks[self._at]) if blocks else 0)
        self._top = max(0, min(max(self._top, stop - limit), start, len(rows) - 1))
        return [
            ("class:chosen" if index == self._at else "", f"{text}\n")
            for index, text in rows[self._top : self._top + limit]
        ]

    def _keys_line(self) -> str:
        n_left = sum(not row.is_written for row in self._rows)
        stands = next((row.number for row in self._rows if row.row is None), 0)
        parts = (
            (3, f"{n_left} being written" if n_left else f"{len(self._rows)} replies"),
            (0, "waiting for its end" if self._wanted is not None else "Enter or a digit takes"),
            (1, f"Esc keeps {stands}" if stands else "Esc leaves"),
            (2, "arrows move"),
        )
        return status_line(parts, self._app.output.get_size().columns)

    def _layout(self, label: str) -> Layout:
        control = FormattedTextControl(
            [("class:channel", label)], focusable=True, key_bindings=self._keys(), show_cursor=False
        )
        return menu_layout(
            control,
            self._list,
            lambda: min(self._limit, sum(map(len, self._blocks()))),
            self._keys_line,
        )

    # Its keys

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()

        def move(step: int) -> Callable[[KeyPressEvent], None]:
            def go(event: KeyPressEvent) -> None:
                self._at = max(0, min(self._at + step, len(self._rows) - 1))

            return go

        for key in ("up", "left", "c-p", "s-tab"):
            bindings.add(key)(move(-1))
        for key in ("down", "right", "c-n", "tab"):
            bindings.add(key)(move(+1))

        @bindings.add("enter")
        def _(event: KeyPressEvent) -> None:
            if self._at < len(self._rows):
                self._take(self._at)

        def digit(number: int) -> Callable[[KeyPressEvent], None]:
            def take(event: KeyPressEvent) -> None:
                for index, row in enumerate(self._rows):
                    if row.number == number:
                        self._take(index)
                        return

            return take

        for key in DIGITS:
            bindings.add(key)(digit(int(key)))

        @bindings.add("escape", eager=True)
        @bindings.add("c-c")
        @bindings.add("c-d")
        @bindings.add("c-g")
        @bindings.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            self.close()

        return bindings
