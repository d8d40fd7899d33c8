"""What a session's events tell."""

from __future__ import annotations

from relay_gguf.conversation.events import (
    Draft,
    Event,
    Notice,
    Piece,
)
from relay_gguf.conversation.session import Session

JOINED = [
    "user: /join #random",
    "system: * Now talking in #random",
    "system: * anon has joined #random",
]


def context(session: Session) -> list[str]:
    """The context after the first scene's opening lines."""
    lines = [f"{m.nick}: {m.content}" for m in session.transcript.context]
    return lines[3:] if lines[:3] == JOINED else lines


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def draft(events: list[Event]) -> str | None:
    drafts = [event.text for event in events if isinstance(event, Draft)]
    return drafts[-1] if drafts else None


def pieces(events: list[Event]) -> list[str]:
    """What was shown of replies as they came."""
    return [event.text for event in events if isinstance(event, Piece)]
