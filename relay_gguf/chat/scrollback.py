"""What stands above the live input line: rows that are printed once and never painted again.

The terminal's own scrollback, selection and copying work, as after any program that prints. Only
the last row may be open, that of a reply which is being written: a piece of it costs that one row,
and only a new row costs a drawing of the input line below it. Nothing here switches the modes of
the terminal, not even for a moment: what is pasted meanwhile stays one paste.
"""

from __future__ import annotations

from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.renderer import HeightIsUnknownError


class Scrollback:
    """Prints above the input line of a running application, and plainly without one."""

    def __init__(self, app: Application[Any]) -> None:
        """Print above `app`; all calls come from the thread of its event loop."""
        self._app = app
        self._row = ""
        self._shown = False
        self._cursor = Point(0, 0)
        self._size = app.output.get_size()
        app.after_render += self._rendered

    def write(self, text: str) -> None:
        """Print rows, which fit into the columns; one without a line break stays open."""
        if not text:
            return
        *rows, row = (self._row + text).split("\n")
        output = self._app.output
        if not self._app.is_running:
            output.write_raw(text.replace("\n", "\r\n"))
            output.flush()
        elif output.get_size() != self._size:  # the terminal may have moved the open row
            *rows, row = text.split("\n")
            self._insert([*rows, row] if row else rows, replaced=0)
        elif self._shown and not rows:
            self._replace(row)
        else:
            self._insert([*rows, row] if row else rows, replaced=int(self._shown))
        self._row, self._shown = row, bool(row) and self._app.is_running

    def break_row(self) -> None:
        """Leave the open row as it is: what follows begins a new one."""
        self._row, self._shown = "", False

    def _rendered(self, app: Application[Any]) -> None:
        screen = app.renderer.last_rendered_screen
        window = app.layout.current_window
        self._cursor = screen.get_cursor_position(window) if screen else Point(0, 0)
        self._size = app.output.get_size()

    def _replace(self, row: str) -> None:
        """Print the open row again from its beginning; a letter may have grown an accent."""
        output = self._app.output
        output.write_raw("\r")
        output.cursor_up(self._cursor.y + 1)
        output.write_raw(row + "\r")
        output.cursor_down(self._cursor.y + 1)
        output.cursor_forward(self._cursor.x)
        output.flush()

    def _insert(self, rows: list[str], *, replaced: int) -> None:
        """Print rows above the input line, in place of the last `replaced` ones."""
        app, renderer, output = self._app, self._app.renderer, self._app.output
        try:
            top = renderer.rows_above_layout + len(rows) - replaced
        except HeightIsUnknownError:
            top = None
        output.write_raw("\r")
        output.cursor_up(self._cursor.y + replaced)
        output.erase_down()
        output.write_raw("".join(f"{row}\r\n" for row in rows))
        renderer.output = DummyOutput()  # the renderer forgets, the terminal's modes stay
        renderer.reset()
        renderer.output = output
        if top is not None:
            renderer.report_absolute_cursor_row(min(top, output.get_size().rows - 1) + 1)
        renderer.render(app, app.layout)
        self._rendered(app)
