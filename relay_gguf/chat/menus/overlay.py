"""Taking the place of the input line, and giving it back."""

from __future__ import annotations

from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.layout import Layout

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
