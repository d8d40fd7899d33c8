"""Long texts in pieces that fit into a line: cut between words, never within a character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .line import LINE_BYTES, cut

LEAST_ROOM: Final = 16
"""Fewest bytes of text in a line; the limits on names leave more than this in every case."""


def room(source: str, verb: str, target: str) -> int:
    """Bytes of text that fit into `:source verb target :text` (RFC 1459 section 2.3)."""
    frame = f":{source} {verb} {target} :\r\n".encode("utf-8", "replace")
    return max(LINE_BYTES - len(frame), LEAST_ROOM)


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at most `size` bytes; joined, they are the text again.

    A piece ends behind a space, as draft/multiline recommends, so that the next one begins with a
    word. Only a word that is longer than a piece is cut.
    """
    while True:
        piece = cut(text, size)
        if len(piece) == len(text):
            yield piece
            return
        words, space, _ = piece.rpartition(" ")
        if words.strip(" "):
            piece = words + space
        yield piece
        text = text[len(piece) :]


def chunks(words: list[str], size: int) -> Iterator[str]:
    """Texts of words joined by spaces, as many in each as fit into `size` bytes."""
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if line and len(longer.encode("utf-8", "replace")) > size:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line
