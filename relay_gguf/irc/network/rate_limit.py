"""How many lines a client may send: a bucket of tokens, of which a line takes one."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Lets `burst` lines through at once, then `rate` a second; no line is ever dropped."""

    def __init__(self, burst: int, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with a full bucket; `now` is a clock in seconds."""
        self._burst, self._rate, self._now = burst, rate, now
        self._tokens, self._filled = float(burst), now()

    def take(self) -> float:
        """Take one token; the seconds to wait until the line may be dispatched."""
        now = self._now()
        gained = (now - self._filled) * self._rate
        self._tokens = min(self._tokens + gained, float(self._burst)) - 1
        self._filled = now
        return max(-self._tokens / self._rate, 0.0)
