"""What frames the input line: who is typing, lines that wait, the channel, the bar below."""

from __future__ import annotations

from collections.abc import Sequence

from relay_gguf.conversation.messages import SILENCE
from relay_gguf.conversation.session import Status
from relay_gguf.display import cut, one_line, status_line, visible

SHOWN_WAITING = 3
"""Lines that wait for their turn, of which as many are shown."""


def label(note: str, waiting: Sequence[str], channel: str, columns: int) -> list[tuple[str, str]]:
    """What stands above and before the input line, as pairs of a style and a text.

    Args:
        note: who is typing; empty if nobody is.
        waiting: lines that wait for their turn.
        channel: where the scene plays.
        columns: of the window.
    """
    rows = [visible(note)] if note else []
    rows += [f"  queued: {one_line(line) or SILENCE}" for line in waiting[:SHOWN_WAITING]]
    if (hidden := len(waiting) - SHOWN_WAITING) > 0:
        rows.append(f"  and {hidden} more")
    return [
        *(("class:waiting", cut(row, columns - 1) + "\n") for row in rows),
        ("class:channel", place(channel, columns)),
    ]


def place(channel: str, columns: int) -> str:
    """The channel before the input line."""
    return f"[#{cut(one_line(channel), columns // 3)}] "


def toolbar(status: Status, columns: int) -> str:
    """The row at the bottom of the screen; what has no room is left out."""
    parts = (
        (0, status.nick),
        (1, f"#{cut(one_line(status.channel), 24)}"),
        (4, cut(one_line(status.topic), max(0, columns - 56))),
        (2, f"{status.tokens}/{status.n_ctx}"),
        (3, f"{status.speed:.1f} t/s" if status.speed else ""),
        (5, cut(one_line(status.model), 36)),
    )
    return status_line(parts, columns)
