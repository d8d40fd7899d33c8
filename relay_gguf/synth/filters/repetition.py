"""Scenes that say the same again and again, by the rules for Gopher's training text.

Rae et al. 2021 (arXiv:2112.11446), table A1: the share of lines that are repeated, the share of
characters in the most frequent n-gram of words, and in n-grams that occur again. Those numbers are
for web pages: a chat of 40 words that says `do you` three times is no worse for it, so a most
frequent n-gram counts only from its third time on. A compressed size tells what words do not.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from relay_gguf.synth.words import words_of

LINES: Final = 0.3
"""Share of lines that were there before."""
TOP: Final = {2: 0.20, 3: 0.18, 4: 0.16}
"""Length of an n-gram in words → share of characters in the most frequent one."""
AGAIN: Final = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""Length of an n-gram in words → share of characters in those that occur again."""
TIMES: Final = 3
"""Times from which the most frequent n-gram counts."""
PACKED: Final = 0.35
"""Size after zlib, as a share of the size before: less is repetition. Chats have 0.5 to 0.8."""


def is_repetitive(lines: Sequence[str], *, allowed: float = 1.0) -> bool:
    """Whether lines repeat more than Gopher's shares times `allowed`.

    Args:
        lines: what is said, without nicks.
        allowed: 1 for Gopher's numbers; more lets more pass.
    """
    same = Counter(" ".join(line.casefold().split()) for line in lines)
    if lines and sum(n - 1 for n in same.values()) / len(lines) > LINES * allowed:
        return True
    words = words_of("\n".join(lines))
    size = sum(map(len, words))
    if not size:
        return False
    if any(_top(words, n) > share * allowed * size for n, share in TOP.items()):
        return True
    if any(_again(words, n) > share * allowed * size for n, share in AGAIN.items()):
        return True
    data = "\n".join(lines).encode()
    return (
        allowed > 0
        and len(data) > 200
        and len(zlib.compress(data, 9)) * allowed < PACKED * len(data)
    )


def _top(words: Sequence[str], n: int) -> int:
    """Characters in the most frequent n-gram, all its times; 0 if it comes less than `TIMES`."""
    counts = Counter(zip(*(words[k:] for k in range(n)), strict=False))
    most = [(sum(map(len, gram)) * count) for gram, count in counts.items() if count >= TIMES]
    return max(most, default=0)


def _again(words: Sequence[str], n: int) -> int:
    """Characters in n-grams that were there before, each character once."""
    seen: set[tuple[str, ...]] = set()
    covered, upto = 0, 0
    for place in range(len(words) - n + 1):
        gram = tuple(words[place : place + n])
        if gram in seen:
            covered += sum(len(word) for word in words[max(place, upto) : place + n])
            upto = place + n
        seen.add(gram)
    return covered
