"""Snapshots of the KV cache in RAM: conversations that had to make room for another one.

Copying a snapshot back takes milliseconds, evaluating its text again takes seconds or minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Token ids, and llama.cpp's state of a sequence of them, `n_bytes` long."""

    ids: tuple[int, ...]
    state: Any
    n_bytes: int


class Snapshots:
    """The snapshots used last, within `room` bytes."""

    def __init__(self, room: int) -> None:
        """Begin without snapshots; with `room` 0 none is kept."""
        self.room = room
        self._kept: list[Snapshot] = []  # the last used at the end

    @property
    def n_bytes(self) -> int:
        """Bytes of all snapshots."""
        return sum(snapshot.n_bytes for snapshot in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Snapshot]:
        """The snapshots, the one used last first."""
        return reversed(self._kept)

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; drop those that are a prefix of it, and the least recently used."""
        if snapshot.n_bytes > self.room:
            return
        self._kept = [old for old in self._kept if old.ids != snapshot.ids[: len(old.ids)]]
        self._kept.append(snapshot)
        while self.n_bytes > self.room:
            self._kept.pop(0)

    def take(self, prompt: Sequence[int], over: int) -> Snapshot | None:
        """Remove and return the snapshot with the longest common prefix with `prompt`.

        None if that prefix has `over` tokens or fewer. The snapshot is removed because its
        conversation goes on in the cache; it is kept anew when another takes its place.
        """
        best = max(self._kept, key=lambda kept: common_prefix(kept.ids, prompt), default=None)
        if best is None or common_prefix(best.ids, prompt) <= over:
            return None
        self._kept.remove(best)
        return best

    def clear(self) -> None:
        """Drop all snapshots."""
        self._kept.clear()


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """The number of tokens that two prompts begin with alike."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
