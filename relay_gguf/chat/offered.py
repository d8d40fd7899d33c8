"""Texts that come into the input line by themselves: drafts, and lines that are taken back."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from relay_gguf.conversation.messages import SILENCE


class OfferedText:
    """Puts texts into the input line, and never touches what was typed there."""

    def __init__(self, buffer: Buffer, note: Callable[[str], None]) -> None:
        """Offer nothing yet.

        Args:
            buffer: of the input line.
            note: shows where a text is that found no room.
        """
        self._buffer = buffer
        self._note = note
        self._draft = ""

    @property
    def is_draft(self) -> bool:
        """Whether the line is a draft, as it came."""
        return bool(self._draft) and self._buffer.text == self._draft

    @property
    def _has_room(self) -> bool:
        return not self._buffer.text or self.is_draft

    def forget(self) -> None:
        """The line was entered."""
        self._draft = ""

    def draft(self, text: str) -> None:
        """Offer a draft; the arrow up brings it if something else stands there."""
        if self._has_room:
            self._buffer.document = Document(text)
            self._draft = text
        else:
            self._buffer.history.append_string(text)
            self._note(f"* A draft, for the arrow up: {text}")

    def give_back(self, line: str) -> None:
        """Offer a line that was entered and is not sent."""
        if self._has_room:
            self._buffer.document = Document(line)
        else:
            self._note(f"* Not sent; the arrow up brings it: {line or SILENCE}")
