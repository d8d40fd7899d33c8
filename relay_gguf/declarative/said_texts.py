"""The texts that come of a reply's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from relay_gguf.conversation.events import Alternative, Event, Piece, Said


def text_of(events: Iterable[Event], on_text: Callable[[str], None] | None = None) -> str:
    """What was said at last; empty if nothing was. `on_text` is called with each piece."""
    content = ""
    for event in events:
        match event:
            case Piece(text) if on_text is not None:
                on_text(text)
            case Said(message):
                content = message.content
    return content


def texts_of(events: Iterable[Event]) -> list[str]:
    """What was said in each of several messages that were drawn at once, in their order."""
    found: dict[int, str] = {}
    for event in events:
        match event:
            case Alternative(row, Said(message)):
                found[row] = message.content
    return [found[row] for row in sorted(found)]
