"""How a prompt is evaluated in chunks: how large they are, and how far it is between two."""

from __future__ import annotations

from typing import Final

from relay_gguf.engine import Prefilling
from relay_gguf.fit.plan import N_BATCH

FIRST_CHUNK: Final = 64
"""Tokens of a prompt's first chunk for a worker, which may be slow."""
CHUNK_SECONDS: Final = 0.3
"""Seconds that a chunk of a prompt may take."""
LEAST_CHUNK: Final = 16
"""Tokens of a chunk at least, however long they take."""


class PrefillChunk:
    """The tokens of a prompt that llama.cpp is given at once, so that a cancel is heard soon.

    llama.cpp's abort callback stops an evaluation on this process's CPU. A GPU or another machine
    goes on to the end of its chunk. So the size follows the seconds that the last chunks took.
    """

    def __init__(self, size: int = N_BATCH) -> None:
        """Begin with chunks of `size` tokens."""
        self.size = size

    def took(self, n_tokens: int, seconds: float) -> None:
        """Adapt the size to an evaluated chunk; the short end of a prompt changes nothing.

        Sizes are powers of two, so that most runs cut a prompt alike: llama.cpp's results depend on
        that a little.
        """
        if seconds > CHUNK_SECONDS:
            while self.size > LEAST_CHUNK and self.size * seconds > n_tokens * CHUNK_SECONDS:
                self.size //= 2
        elif n_tokens >= self.size and seconds < CHUNK_SECONDS / 2.5:
            self.size = min(N_BATCH, self.size * 2)


class PrefillPace:
    """How far a prompt is evaluated, guessed between two chunks by the pace of those before.

    Smaller chunks would tell more, but llama.cpp's results depend on how a prompt is cut, and a
    seed must give the same reply on a slow machine.
    """

    def __init__(self, rate: float = 0.0) -> None:
        """Begin with a rate in tokens a second; 0 is unknown."""
        self._rate = rate
        self._total = self._done = 0
        self._since = 0.0

    def begin(self, total: int, now: float) -> None:
        """`total` new tokens are evaluated from now on; times are in seconds."""
        self._total, self._done, self._since = total, 0, now

    def read(self, done: int, now: float) -> Prefilling:
        """Take in that `done` tokens are evaluated."""
        n_tokens = done - self._done
        # A few tokens take about as long as many: they tell the rate only where nothing else does.
        if now > self._since and (n_tokens >= LEAST_CHUNK or (n_tokens and not self._rate)):
            self._rate = n_tokens / (now - self._since)
        self._done, self._since = done, now
        return self._step(done)

    def guess(self, now: float) -> Prefilling | None:
        """How far it is probably; None if no prompt is being evaluated."""
        if not self._total:
            return None
        ahead = min(int(self._rate * (now - self._since)), N_BATCH)
        return self._step(max(self._done, min(self._done + ahead, self._total - 1)))

    def end(self) -> float:
        """The whole prompt is evaluated; returns the rate in tokens a second, 0 if unknown."""
        self._total = 0
        return self._rate

    def _step(self, done: int) -> Prefilling:
        left = (self._total - done) / self._rate if self._rate else None
        return Prefilling(done, self._total, left)
