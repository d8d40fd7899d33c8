"""Snapshots of the KV cache in RAM: conversations that had to make room for another one.

Copying a snapshot back takes milliseconds, evaluating its text again takes seconds or minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A prefix of token ids, and llama.cpp's state of a sequence that has them; in bytes."""

    ids: tuple[int, ...]
    state: Any
    n_bytes: int


class Snapshots:
    """The scenes used last, within `room` bytes."""

    def __init__(self, room: int) -> None:
        """Begin with none; `room` 0 keeps none."""
        self.room = room
        self._kept: list[Snapshot] = []  # the one used last at the end

    @property
    def n_bytes(self) -> int:
        """What they take."""
        return sum(scene.n_bytes for scene in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, scene: Snapshot) -> None:
        """Keep a scene; the ones used longest ago go, and those that are a part of it."""
        if scene.n_bytes > self.room:
            return
        self._kept = [old for old in self._kept if old.ids != scene.ids[: len(old.ids)]]
        self._kept.append(scene)
        while self.n_bytes > self.room:
            self._kept.pop(0)

    def take(self, prompt: Sequence[int], over: int) -> Snapshot | None:
        """The scene that shares most with a prompt, if more than `over` tokens; it is kept no more.

        It would be changed in the cache, and is kept again when another one takes its place.
        """
        best = max(self._kept, key=lambda scene: common_prefix(scene.ids, prompt), default=None)
        if best is None or common_prefix(best.ids, prompt) <= over:
            return None
        self._kept.remove(best)
        return best

    def clear(self) -> None:
        """Keep none."""
        self._kept.clear()


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
