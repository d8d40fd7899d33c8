"""How many tokens of a prompt llama.cpp is given at once, so that a cancel is heard soon.

llama.cpp's abort callback stops an evaluation on this process's CPU. A GPU or another machine goes
on to the end of its chunk.
"""

from __future__ import annotations

from typing import Final

from relay_gguf.fit.plan import N_BATCH

SECONDS: Final = 0.3
"""Seconds that a chunk may take."""
LEAST: Final = 16
"""Tokens of a chunk at least, however long they take."""


class PrefillChunk:
    """The size of the next chunk, from the seconds that the last chunks took."""

    def __init__(self, size: int = N_BATCH) -> None:
        """Begin with chunks of `size` tokens."""
        self.size = size

    def took(self, n_tokens: int, seconds: float) -> None:
        """Adapt the size to an evaluated chunk; the short end of a prompt changes nothing.

        Sizes are powers of two, so that most runs cut a prompt alike: llama.cpp's results depend on
        that a little.
        """
        if seconds > SECONDS:
            while self.size > LEAST and self.size * seconds > n_tokens * SECONDS:
                self.size //= 2
        elif n_tokens >= self.size and seconds < SECONDS / 2.5:
            self.size = min(N_BATCH, self.size * 2)
