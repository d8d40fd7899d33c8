"""A made-up model with many sequences, which checks all that it is told and counts what it reads.

Its logits follow from every token of a sequence and from nothing else: a reply tells whether any
token of another one ever came into its sequence.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from relay_gguf.engine import Finished, Prefilled, Step, Token
from relay_gguf.llama.batch.context import DONE, NO_ROOM
from relay_gguf.llama.batch.continuation import Continuation, SlotStep
from relay_gguf.llama.batch.slots import Slots
from relay_gguf.llama.contexts.snapshots import Snapshot, common_prefix
from relay_gguf.sampling import SamplingParams, Seen, distribution, pick

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

END = 0
N_VOCAB = 50
_TABLE = np.random.default_rng(3).normal(0, 2, (4093, N_VOCAB)).astype(np.float32)


class SlotModel:
    """An `Evaluator` of `n_cells` cells; token 0 ends a reply.

    One pool if `unified`; else each sequence has its own, and `room` conversations wait in RAM.
    """

    can_cut = True
    n_batch = 64

    def __init__(
        self,
        n_slots: int,
        n_cells: int,
        n_ctx: int = 0,
        *,
        endless: bool = False,
        unified: bool = True,
        room: int = 0,
    ) -> None:
        self.n_slots = n_slots
        self.n_ctx = n_ctx or n_cells
        self.n_cells = n_cells if unified else n_slots * self.n_ctx
        self.unified = unified
        self.put: list[tuple[int, ...]] = []  # the last at the end
        self._room = room
        self._endless = endless
        self.seqs: list[list[tuple[int, int]]] = [[] for _ in range(n_slots)]  # (cell, token)
        self.evaluated: list[tuple[int, int]] = []  # of each evaluation: rows, and tokens read
        self.n_refused = 0
        self.now = 0.0
        self._cells = count()
        self._n_free = self.n_cells  # or more
        self._logits: Logits = np.empty((0, N_VOCAB), np.float32)

    @property
    def n_used(self) -> int:
        """Cells that hold something, counted."""
        return len({cell for seq in self.seqs for cell, _ in seq})

    def clock(self) -> float:
        return self.now

    def evaluate(
        self, ids: Sequence[int], positions: Sequence[int], seqs: Sequence[int], n_rows: int
    ) -> int:
        assert 0 < len(ids) == len(positions) == len(seqs) <= self.n_batch
        assert n_rows <= self.n_slots
        assert len(set(seqs[:n_rows])) == n_rows
        if self._n_free < len(ids):
            self._n_free = self.n_cells - self.n_used
        lengths = Counter(seqs)
        most = max(len(self.seqs[seq]) + count for seq, count in lengths.items())
        full = not self.unified and most > self.n_ctx
        if self._n_free < len(ids) or full:
            self.n_refused += 1
            return NO_ROOM
        assert self.unified or list(seqs[:n_rows]) == sorted(seqs[:n_rows])
        for token, position, seq in zip(ids, positions, seqs, strict=True):
            assert position == len(self.seqs[seq]) < self.n_ctx
            self.seqs[seq].append((next(self._cells), token))
        tokens = [[token for _, token in self.seqs[seq]] for seq in seqs[:n_rows]]
        self._logits = _TABLE[[_place(ids) for ids in tokens]]
        self._n_free -= len(ids)
        self.evaluated.append((n_rows, len(ids) - n_rows))
        self.now += 0.010 + 0.002 * (len(ids) - 1)
        return DONE

    def rows(self, n_rows: int) -> Logits:
        assert self._logits.shape[0] == n_rows
        return self._logits

    def cut(self, seq: int, n_tokens: int) -> None:
        del self.seqs[seq][n_tokens:]

    def remove(self, seq: int, start: int, stop: int) -> None:
        moved = {cell for cell, _ in self.seqs[seq][stop:]}
        others = [cells for other, cells in enumerate(self.seqs) if other != seq]
        assert not any(cell in moved for cells in others for cell, _ in cells)
        del self.seqs[seq][start:stop]

    def share(self, source: int, target: int, n_tokens: int) -> bool:
        assert not self.seqs[target]
        assert n_tokens <= len(self.seqs[source])
        shared = self.seqs[source][:n_tokens]
        own = [(next(self._cells), token) for _, token in shared]
        self.seqs[target] = shared if self.unified else own
        return True

    def put_by(self, seq: int, ids: Sequence[int]) -> None:
        assert ids == [token for _, token in self.seqs[seq]]
        self.put = [*self.put, tuple(ids)][-self._room :] if self._room else []

    def find(self, prompt: Sequence[int], has: int) -> Snapshot | None:
        best = max(self.put, key=lambda ids: common_prefix(ids, prompt), default=())
        if common_prefix(best, prompt) <= has:
            return None
        self.put.remove(best)
        return Snapshot(best, None, 0)

    def fill(self, seq: int, snapshot: Snapshot) -> bool:
        assert not self.seqs[seq]
        self.seqs[seq] = [(next(self._cells), token) for token in snapshot.ids]
        return True

    def ends(self, token: int) -> bool:
        return token == END and not self._endless

    def breakers(self) -> frozenset[int]:
        return frozenset({END})


def _place(ids: Sequence[int]) -> int:
    return hash(tuple(ids)) % len(_TABLE)


def logits_of(ids: Sequence[int]) -> Logits:
    """The logits (n_vocab,) after these tokens."""
    row: Logits = _TABLE[_place(ids)].copy()
    return row


def expected(request: Continuation, n_ctx: int) -> list[int]:
    """The tokens of a reply as a single engine draws them."""
    ids, params = list(request.prompt), request.params
    rng, seen = random.Random(params.seed), Seen(request.prompt, n_ctx + 1)
    reply: list[int] = []
    while len(reply) < params.max_tokens:
        token = pick(*distribution(logits_of(ids), seen.ids, params), rng)
        if token == END or token in request.ends:
            break
        reply.append(token)
        if len(ids) >= n_ctx:
            break
        ids.append(token)
        seen.add(token)
    return reply


def tally(evaluated: Sequence[tuple[int, int]]) -> Counter[str]:
    """Rows and tokens of prompts of all evaluations."""
    return Counter(rows=sum(n for n, _ in evaluated), read=sum(n for _, n in evaluated))


def run(slots: Slots) -> Iterator[SlotStep]:
    """Step until every reply has ended; what each step tells."""
    while slots.n_live:
        yield from slots.step()


def made(n_slots: int, n_cells: int, n_ctx: int = 0, **how: bool | int) -> tuple[Slots, SlotModel]:
    model = SlotModel(n_slots, n_cells, n_ctx, **how)  # type: ignore[arg-type]
    return Slots(model, clock=model.clock), model


def request(*prompt: int, seed: int = 1, n: int = 12, **params: float) -> Continuation:
    return Continuation(prompt, SamplingParams(seed=seed, max_tokens=n, **params))  # type: ignore[arg-type]


def told(slots: Slots) -> dict[int, list[Step]]:
    """All steps of each reply, until all have ended."""
    steps = defaultdict(list)
    for event in run(slots):
        steps[event.handle].append(event.step)
    return steps


def tokens(steps: list[Step]) -> list[int]:
    return [step.id for step in steps if isinstance(step, Token)]


def reason(steps: list[Step]) -> str:
    (end,) = [step for step in steps if isinstance(step, Finished)]
    assert steps[-1] is end
    return end.reason


def read(steps: list[Step]) -> tuple[int, int]:
    (prompt,) = [step for step in steps if isinstance(step, Prefilled)]
    return prompt.evaluated, prompt.reused
