"""Which tokens are in the cache for which sequence.

A cell holds the key and value of one evaluated token. llama.cpp's unified cache has one pool of
cells: a cell belongs to every sequence that begins alike, and is free when the last of these lets
go of it. Otherwise each sequence has cells of its own, for a whole context: what two begin with
alike is there twice, and nobody's cells run out. This is the same count, kept here, so that it is
known before an evaluation whether it fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from relay_gguf.llama.contexts.snapshots import common_prefix

BLOCK: Final = 64
"""Tokens of two prompts that are compared at once."""


class Cells:
    """`n_cells` cells, and what `n_seqs` sequences hold of them."""

    def __init__(self, n_cells: int, n_seqs: int, *, unified: bool = True) -> None:
        """Begin with an empty cache; `unified` is one pool for all sequences."""
        self.n_cells = n_cells
        self.unified = unified
        self._ids: list[list[int]] = [[] for _ in range(n_seqs)]
        self._cells: list[list[int]] = [[] for _ in range(n_seqs)]
        self._users: Counter[int] = Counter()  # of each cell that more than one sequence has
        self._used = 0
        self._next = 0  # a number for each cell that is ever filled

    @property
    def free(self) -> int:
        """Cells that hold nothing."""
        return self.n_cells - self._used

    def ids(self, seq: int) -> list[int]:
        """The tokens of a sequence that are evaluated, by position; not to be changed."""
        return self._ids[seq]

    def length(self, seq: int) -> int:
        """How many these are."""
        return len(self._ids[seq])

    def own(self, seq: int) -> int:
        """Cells that would be free without this sequence."""
        users = self._users
        return sum(cell not in users for cell in self._cells[seq])

    def fill(self, seq: int, ids: Sequence[int]) -> None:
        """Take in that tokens were evaluated after those that a sequence has."""
        count = len(ids)
        self._ids[seq] += ids
        self._cells[seq] += range(self._next, self._next + count)
        self._next += count
        self._used += count

    def share(self, source: int, target: int, n_tokens: int) -> None:
        """Take in that an empty sequence was given the first tokens of another."""
        if not self.unified:
            self.fill(target, self._ids[source][:n_tokens])
            return
        self._ids[target] = self._ids[source][:n_tokens]
        self._cells[target] = self._cells[source][:n_tokens]
        users = self._users
        for cell in self._cells[target]:
            users[cell] = users.get(cell, 1) + 1

    def is_shared(self, seq: int, start: int) -> bool:
        """Whether another sequence has a cell of the tokens from `start` on."""
        return any(cell in self._users for cell in self._cells[seq][start:])

    def cut(self, seq: int, n_tokens: int) -> None:
        """Take in that a sequence was cut down to its first tokens."""
        self.remove(seq, n_tokens, self.length(seq))

    def remove(self, seq: int, start: int, stop: int) -> None:
        """Take in that tokens were removed, and that what follows moved up."""
        users = self._users
        for cell in self._cells[seq][start:stop]:
            count = users.pop(cell, 1)
            if count > 2:
                users[cell] = count - 1
            elif count == 1:
                self._used -= 1
        del self._ids[seq][start:stop]
        del self._cells[seq][start:stop]

    def shared(self, seq: int, prompt: list[int]) -> int:
        """Tokens that a sequence and a prompt begin with alike."""
        return alike(self._ids[seq], prompt)


def alike(left: list[int], right: list[int]) -> int:
    """The number of tokens that two lists begin with alike; blocks of them are compared in C."""
    if not left or not right or left[0] != right[0]:
        return 0
    start, length = 0, min(len(left), len(right))
    while start < length and left[start : start + BLOCK] == right[start : start + BLOCK]:
        start += BLOCK
    stop = start + BLOCK
    return min(length, start + common_prefix(left[start:stop], right[start:stop]))
