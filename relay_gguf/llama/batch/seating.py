"""Who gets a slot, and which sequence: the one that has most of the prompt in its cells."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from .cells import Cells, alike
from .reply import Leader, Reply

WORTH_WAITING: Final = 32
"""Tokens that a prompt must have in common with one that is being read, to wait for it."""
WORTH_COPYING: Final = 32
"""Tokens that are read again sooner than a sequence is copied, where they cannot be shared."""
HEADROOM: Final = 16
"""Cells that must be free for each reply before another one joins, so that none must leave soon."""


def leader(reply: Reply, seated: Collection[Reply], has: int) -> Leader | None:
    """Who is just reading more of a reply's prompt than any sequence has; None if nobody is.

    Args:
        reply: that waits.
        seated: the replies that have a slot.
        has: tokens of the prompt that a sequence has.
    """
    found = None
    for other in seated:
        if other.left:
            count = alike(other.ids[:-1], reply.ids[:-1])
            if count >= has + WORTH_WAITING:
                found, has = Leader(other, count), count
    return found


def has_room(
    cells: Cells,
    reply: Reply,
    seated: Collection[Reply],
    idle: Sequence[int],
    shared: Sequence[int],
) -> bool:
    """Whether there are cells for a reply's prompt and for all that goes on meanwhile.

    Args:
        cells: the cache.
        reply: that waits.
        seated: the replies that have a slot.
        idle: the sequences of no reply, whose cells can be freed.
        shared: tokens that each sequence has of the prompt.
    """
    if not seated or not cells.unified:
        return True
    unread = sum(other.left for other in seated)
    has = max(shared[other.seq] for other in seated if other.seq is not None)
    need = len(reply.ids) - has + unread + HEADROOM * (len(seated) + 1) - cells.free
    return need <= 0 or need <= sum(cells.own(seq) for seq in idle)


def place(cells: Cells, idle: Sequence[int], shared: Sequence[int]) -> tuple[int, int]:
    """The sequence for a prompt, and the one with whose cells it begins: itself, or another.

    Args:
        cells: the cache.
        idle: the sequences of no reply, the last used at the end.
        shared: tokens that each sequence has of the prompt.
    """
    best = max(idle, key=lambda seq: (shared[seq], -cells.length(seq)))
    if 2 * shared[best] < cells.length(best):
        # Another conversation's: the one that was idle longest makes room, an empty one first.
        best = next((seq for seq in idle if not cells.length(seq)), idle[0])
    source = shared.index(max(shared))
    least = 1 if cells.unified else WORTH_COPYING
    return best, source if shared[source] >= shared[best] + least else best
