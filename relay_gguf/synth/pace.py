"""Scenes an hour, tokens a second and the time that is left, while scenes are sampled."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from .raw.raw_scene import RawScene
from .stop_rules import NATURAL

WINDOW: Final = 200
"""Scenes by which the speed is measured: the last ones."""
TICKS: Final = 60
"""Times of a look at the tokens, by which their speed is measured: the last ones."""


class Pace:
    """Counts scenes as they are finished."""

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none of `total` scenes; `clock` gives seconds."""
        self.total, self.done = total, 0
        self.ends: Counter[str] = Counter()
        self._clock = clock
        self._finished = deque([clock()], WINDOW + 1)
        self._sampled = deque([(clock(), 0)], TICKS + 1)  # when, and tokens until then

    def add(self, scene: RawScene) -> None:
        """Take in a scene."""
        self.done += 1
        self.ends[scene.end] += 1
        self._finished.append(self._clock())

    def tick(self, n_tokens: int) -> None:
        """Take in how many tokens were sampled so far, in scenes finished or not."""
        self._sampled.append((self._clock(), n_tokens))

    @property
    def line(self) -> str:
        """How far it is, in a line."""
        (began, before), (now, tokens) = self._sampled[0], self._sampled[-1]
        rate = (tokens - before) / max(now - began, 1e-9)
        seconds, n_scenes = self._finished[-1] - self._finished[0], len(self._finished) - 1
        if not n_scenes:
            return f"0 of {self.total:,} scenes, {tokens:,} tokens, {rate:,.0f} tokens/s"
        each = max(seconds, 1e-9) / n_scenes
        natural = sum(self.ends[end] for end in NATURAL) / self.done
        return (
            f"{self.done:,} of {self.total:,} scenes, {3600 / each:,.0f} an hour, "
            f"{rate:,.0f} tokens/s, {_clocked((self.total - self.done) * each)} left, "
            f"{natural:.0%} ended by themselves"
        )


def _clocked(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
