"""Long texts in short pieces: cut between words, never within a character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .line import LINE_BYTES, cut

LEAST_ROOM: Final = 16
"""Bytes of text in a line at least; names have limits, so it never comes to that."""


def room(source: str, verb: str, target: str) -> int:
    """Bytes of text that fit into `:source verb target :text` (RFC 1459 section 2.3)."""
    frame = f":{source} {verb} {target} :\r\n".encode("utf-8", "replace")
    return max(LINE_BYTES - len(frame), LEAST_ROOM)


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at most `size` bytes, which joined are the text again.

    A piece ends behind a space where it can, as draft/multiline recommends: shown alone, it begins
    with a word. Within a word it is cut only where the word is longer than a piece.
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
    """Words joined by spaces, as many in each as fit into `size` bytes."""
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
