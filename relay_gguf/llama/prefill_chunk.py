"""How much of a prompt is given to llama.cpp at once, so that a cancel is heard soon.

Its abort callback stops what a CPU of this process evaluates. A GPU, or another machine, goes on to
the end of what it was given.
"""

from __future__ import annotations

from typing import Final

from relay_gguf.fit.plan import N_BATCH

SECONDS: Final = 0.3
"""That a piece may take."""
LEAST: Final = 16
"""Tokens, whatever they take."""


class PrefillChunk:
    """The size of the next piece, by the time that the last ones took."""

    def __init__(self, size: int = N_BATCH) -> None:
        """Begin with pieces of `size` tokens."""
        self.size = size

    def took(self, n_tokens: int, seconds: float) -> None:
        """A piece was evaluated; only a whole one, or a slow one, tells how large one may be.

        Sizes are powers of two, so that most runs cut a prompt alike: llama.cpp's results depend on
        that a little.
        """
        if seconds > SECONDS:
            while self.size > LEAST and self.size * seconds > n_tokens * SECONDS:
                self.size //= 2
        elif n_tokens >= self.size and seconds < SECONDS / 2.5:
            self.size = min(N_BATCH, self.size * 2)
