"""A menu's layout; taking the place of the input line, and giving it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    BufferControl,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)

ESCAPE: Final = 0.1
"""Seconds after which Esc is a key of its own, and not the beginning of an arrow."""


class Overlay:
    """A layout in the place of the application's own."""

    def __init__(self, app: Application[Any]) -> None:
        """Show nothing yet."""
        self._app = app
        self._before: tuple[Layout, float] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has the place."""
        return self._before is not None

    def open(self, layout: Layout) -> None:
        """Take the place."""
        self._before = self._app.layout, self._app.ttimeoutlen
        self._app.layout, self._app.ttimeoutlen = layout, ESCAPE
        self._app.invalidate()

    def close(self) -> None:
        """Give the place back."""
        if self._before is not None:
            (self._app.layout, self._app.ttimeoutlen), self._before = self._before, None
            self._app.invalidate()


def menu_layout(
    line: BufferControl | FormattedTextControl,
    rows: Callable[[], StyleAndTextTuples],
    n_rows: Callable[[], int],
    keys: Callable[[], str],
) -> Layout:
    """A menu: a line, which has the keyboard; a list below it; a line that tells its keys.

    Args:
        line: of the first line.
        rows: the list, as it is now.
        n_rows: screen rows that the list wants.
        keys: the last line.
    """
    first = Window(line, height=Dimension.exact(1), wrap_lines=False)
    listed = Window(
        FormattedTextControl(rows, show_cursor=False),
        height=lambda: Dimension(min=1, preferred=n_rows()),
    )
    last = Window(
        FormattedTextControl(keys), height=Dimension.exact(1), style="class:bottom-toolbar"
    )
    return Layout(HSplit([first, listed, last]), focused_element=first)
