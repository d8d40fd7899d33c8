"""Notices a text that goes round in circles, while it is written."""

from __future__ import annotations

from typing import Final

N_WORDS: Final = 6
"""Words of a passage that is repeated."""
N_CHARACTERS: Final = 32
"""Characters of one without spaces between words: so long is a unit that is repeated, at most."""
WINDOW: Final = 4096
"""Characters of the text that are looked at, from its end."""
LINES: Final = 4
"""How many lines are looked at, for each of the lines that must be the same."""


class LoopGuard:
    """Watches one text. The same line, or the same six words, `limit` times are a loop.

    A text that is nothing but one short unit over and over, as "ha" or a row of the same letter,
    is one when it is `limit` times 32 characters long.
    """

    def __init__(self, limit: int) -> None:
        """Begin with an empty text.

        Args:
            limit: how often a passage must stand in the text, 2 or more.
        """
        self._limit = max(2, limit)
        self._text = ""

    def add(self, text: str) -> str:
        """Take in what is written next; the passage that is repeated, or '' while none is."""
        self._text = (self._text + text)[-WINDOW:]
        found = self._unit()
        if not found and "\n" in text:
            found = self._line()
        if not found and any(character.isspace() for character in text):
            found = self._passage()
        return found

    def _unit(self) -> str:
        tail = self._text[-self._limit * N_CHARACTERS :]
        if len(tail) == self._limit * N_CHARACTERS and not tail.isspace():
            for size in range(1, N_CHARACTERS + 1):
                if tail[size:] == tail[:-size]:
                    return tail[:size]
        return ""

    def _line(self) -> str:
        """The last whole line, if it is one of `limit` that are the same."""
        lines = [line.strip() for line in self._text.split("\n")[:-1]]
        lines = [line for line in lines if line][-LINES * self._limit :]
        return lines[-1] if lines and lines.count(lines[-1]) >= self._limit else ""

    def _passage(self) -> str:
        """The last six whole words, if they stand `limit` times, none of them counted twice."""
        words = self._text.split()
        if not self._text[-1].isspace():
            del words[-1:]
        passage, count, end = words[-N_WORDS:], 0, len(words)
        while end >= N_WORDS:
            if words[end - N_WORDS : end] == passage:
                count, end = count + 1, end - N_WORDS
            else:
                end -= 1
        return " ".join(passage) if count >= self._limit else ""
