"""Keeping a reply from being one that is known already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from relay_gguf.conversation.events import Event, Piece, Said


def unless(known: Collection[str], events: Iterable[Event]) -> Iterator[Event]:
    """The events of a message; of one that is known, neither pieces nor end.

    Pieces are held back while the text may still become one that is known.
    """
    held: str | None = ""
    for event in events:  # to their end, where an error may wait
        match event:
            case Piece(text) if held is not None:
                held += text
                if not any(one.startswith(held) for one in known):
                    yield Piece(held)
                    held = None
            case Said(message) if message.content in known:
                pass
            case Said():
                if held:
                    yield Piece(held)
                yield event
            case _:
                yield event
