"""Continuous batching: replies join and leave between steps, and each step evaluates for all.

A step evaluates the last token of every running reply and pieces of the prompts that are being
read, and draws a token for each running reply. Whoever steps is the only one who may touch this:
see `batch_engine` for callers on other threads.

What a prompt has in common with any sequence is shared, not evaluated again, nor what another one
is just reading. A reply that ended leaves its cells to the next prompt that begins alike. When a
pool's cells run out, first those are freed, then the youngest reply waits, and is read again later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from relay_gguf.engine import Finished, FinishReason, Prefilled, Prefilling, Step, Token
from relay_gguf.errors import EngineError

from . import seating
from .cells import Cells
from .context import ABORTED, NO_ROOM, Evaluator
from .continuation import Continuation, SlotStep
from .reply import Reply
from .rows import next_tokens
from .schedule import ReadingShare, pieces


class Slots:
    """Replies in progress on one evaluator, at most `n_slots` of them at once."""

    def __init__(
        self, evaluator: Evaluator, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begin with empty slots.

        Args:
            evaluator: the model, which nobody else may use meanwhile.
            clock: seconds; how long a step was decides how much of a prompt the next one reads.
        """
        self.cells = Cells(evaluator.n_cells, evaluator.n_slots, unified=evaluator.unified)
        self._evaluator = evaluator
        self._clock = clock
        self.reading = ReadingShare()
        self._waiting: deque[Reply] = deque()  # the oldest first
        self._seated: dict[int, Reply] = {}  # by sequence
        self._idle = list(range(evaluator.n_slots))  # sequences; the last used at the end
        self._next_handle = 0
        self._n_read = 0  # tokens of prompts that were read so far
        self._events: list[SlotStep] = []  # to be told by the next step

    @property
    def n_live(self) -> int:
        """Replies that have not ended, in slots or waiting."""
        return len(self._waiting) + len(self._seated)

    def submit(self, request: Continuation) -> int:
        """Queue a request; its handle, by which `step` tells of it.

        Raises:
            EngineError: the prompt is empty or does not fit.
        """
        n_ctx = min(self._evaluator.n_ctx, self._evaluator.n_cells)
        if not 0 < len(request.prompt) < n_ctx:
            raise EngineError(f"The prompt has {len(request.prompt)} tokens, but n_ctx is {n_ctx}.")
        handle = self._next_handle
        self._next_handle += 1
        breakers = self._evaluator.breakers
        self._waiting.append(Reply(handle, request, n_ctx, self._clock(), breakers))
        return handle

    def cancel(self, handle: int) -> None:
        """End a reply: the next step tells so. One that has ended is left alone."""
        for reply in self._live():
            if reply.handle == handle:
                self._end(reply, "cancelled")

    def cancel_all(self) -> list[SlotStep]:
        """End all replies; what there is to tell of them."""
        for reply in self._live():
            self._end(reply, "cancelled")
        return self._told()

    def step(self) -> list[SlotStep]:
        """Evaluate once; what came of it, each reply's steps in their order.

        Raises:
            EngineError: llama.cpp failed. All replies have ended and the cache is empty.
        """
        try:
            self._seat()
            if self._seated:
                self._evaluate()
        except BaseException:
            self._clear()
            raise
        return self._told()

    def forget(self, prompt: list[int], start: int) -> bool:
        """Remove `prompt[start:]` where a sequence of no reply begins with `prompt`.

        What follows is moved up: not where another sequence has these cells too.

        Returns:
            Whether that was done.
        """
        stop = len(prompt)
        for seq in self._idle if self._evaluator.can_cut else ():
            if self.cells.ids(seq)[:stop] == prompt and not self.cells.is_shared(seq, stop):
                self._evaluator.remove(seq, start, stop)
                self.cells.remove(seq, start, stop)
                return True
        return False

    @property
    def by_use(self) -> list[int]:
        """The sequences, those of replies first, then the one that was used last."""
        return [*self._seated, *reversed(self._idle)]

    # Joining

    def _seat(self) -> None:
        """Give free slots to those who wait, the oldest first."""
        for reply in list(self._waiting)[: len(self._idle) + self._evaluator.n_slots]:
            if not self._idle:
                return
            if reply.leader is not None and reply.leader.goes_on:
                continue
            shared = [self._shared(seq, reply.ids[:-1]) for seq in range(self._evaluator.n_slots)]
            seated = self._seated.values()
            if self._evaluator.can_cut:
                reply.leader = seating.leader(reply, seated, max(shared))
                if reply.leader is not None:
                    continue
            if not seating.has_room(self.cells, reply, seated, self._idle, shared):
                return  # the younger ones wait as well, or this one might wait for ever
            self._waiting.remove(reply)
            self._take_slot(reply, shared)

    def _shared(self, seq: int, prompt: list[int]) -> int:
        """Tokens of a sequence that a prompt can go on from."""
        count = self.cells.shared(seq, prompt)
        return count if self._evaluator.can_cut or count == self.cells.length(seq) else 0

    def _take_slot(self, reply: Reply, shared: Sequence[int]) -> None:
        """Give a reply a sequence, and what the cache has of its prompt: `shared` of each."""
        seq, source = seating.place(self.cells, self._idle, shared)
        self._idle.remove(seq)
        found = self._evaluator.find(reply.ids[:-1], max(shared))
        if 2 * shared[seq] < self.cells.length(seq):  # another conversation makes room
            self._evaluator.put_by(seq, self.cells.ids(seq))
        if found is not None:
            self._cut(seq, 0)
            self._free_idle(len(found.ids))
            if self.cells.free >= len(found.ids) and self._evaluator.fill(seq, found):
                self.cells.fill(seq, found.ids)
                self._cut(seq, self._shared(seq, reply.ids[:-1]))
        elif self._evaluator.can_cut and source != seq:
            self._cut(seq, 0)
            if self._evaluator.share(source, seq, shared[source]):
                self.cells.share(source, seq, shared[source])
        else:
            self._cut(seq, shared[seq])
        reply.seq, reply.n_past = seq, self.cells.length(seq)
        if not reply.n_drawn:
            reply.reused, reply.evaluated = reply.n_past, 0
        reply.due = self._n_read + reply.left
        self._seated[seq] = reply

    # Evaluating

    def _evaluate(self) -> None:
        """Read pieces of prompts, go on with the running replies, draw their next tokens."""
        running, reading = self._work()
        ids = [reply.ids[-1] for reply in running]
        positions = [reply.n_past for reply in running]
        seqs = [seq for reply in running if (seq := reply.seq) is not None]
        for reply, count in reading:
            assert reply.seq is not None
            ids += reply.unread[:count]
            positions += range(reply.n_past, reply.n_past + count)
            seqs += [reply.seq] * count
        began = self._clock()
        status = self._evaluator.evaluate(ids, positions, seqs, len(running))
        if status == NO_ROOM:  # llama.cpp counts otherwise than we: never seen
            self._free_one()
            return
        if status == ABORTED:
            self._clear("cancelled")
            return
        for reply, count in reading:
            self._read(reply, count)
        if running:
            rows = self._evaluator.rows(len(running))
            tokens = next_tokens(rows, [reply.chooser for reply in running])
            for reply, token in zip(running, tokens, strict=True):
                self._fill(reply, reply.ids[-1:])
                self._take(reply, token)
        seconds = self._clock() - began
        lefts = [reply.left for reply in self._seated.values() if reply.left]
        n_read, crowded = len(ids) - len(running), bool(self._waiting)
        self.reading.took(len(running), lefts, n_read, seconds, crowded=crowded)

    def _work(self) -> tuple[list[Reply], list[tuple[Reply, int]]]:
        """The running replies, and the prompts with how much to read of each.

        There are cells for all of it: whoever has the least claim to them is put off.
        """
        while True:
            seated = [self._seated[seq] for seq in sorted(self._seated)]
            running = [reply for reply in seated if not reply.left]
            reading = sorted((reply for reply in seated if reply.left), key=lambda r: r.due)
            lefts = [reply.left for reply in reading]
            budget = self.reading.budget(len(running), lefts, crowded=bool(self._waiting))
            budget = min(budget, self._evaluator.n_batch - len(running))
            self._free_idle(len(running) + min(budget, sum(lefts)))
            budget = min(budget, self.cells.free - len(running))
            if budget >= 0 and (running or budget):
                counts = pieces(lefts, budget)
                return running, [(r, n) for r, n in zip(reading, counts, strict=True) if n]
            self._free_one()

    def _read(self, reply: Reply, count: int) -> None:
        """Take in that a piece of a prompt is in the cache."""
        self._fill(reply, reply.unread[:count])
        self._n_read += count
        if reply.n_drawn:  # it was put off, and has told of its prompt before
            return
        reply.evaluated += count
        total = len(reply.ids) - reply.reused
        self._tell(reply, Prefilling(min(reply.evaluated, total), total))

    def _take(self, reply: Reply, token: int) -> None:
        """Take in the next token of a running reply."""
        request = reply.request
        now = self._clock()
        if not reply.n_drawn:
            evaluated = len(reply.ids) - reply.reused
            self._tell(reply, Prefilled(evaluated, reply.reused, now - reply.began))
            reply.began = now
        if token in request.ends or self._evaluator.ends(token):
            self._end(reply, "stop")
            return
        self._tell(reply, Token(token))
        reply.add(token)
        if request.until is not None and request.until(token):
            self._end(reply, "stop")
        elif reply.n_drawn >= request.params.max_tokens:
            self._end(reply, "length")
        elif reply.n_past >= min(self._evaluator.n_ctx, self._evaluator.n_cells):
            self._end(reply, "context")

    # Leaving

    def _end(self, reply: Reply, reason: FinishReason) -> None:
        """End a reply; its cells stay until somebody needs them."""
        if reply.seq is None:
            self._waiting.remove(reply)
        else:
            self._leave(reply)
        self._tell(reply, Finished(reason, self._clock() - reply.began))

    def _leave(self, reply: Reply) -> int:
        """Give up a slot, but not what is in its cells; returns the sequence."""
        assert reply.seq is not None
        seq, reply.seq, reply.n_past = reply.seq, None, 0
        del self._seated[seq]
        self._idle.append(seq)
        return seq

    def _free_idle(self, wanted: int) -> None:
        """Free cells that no reply uses, those that were used longest ago first."""
        for seq in self._idle:
            if self.cells.free >= wanted:
                return
            self._cut(seq, 0)

    def _free_one(self) -> None:
        """Put off the youngest reply: it waits, and is read again when there is room."""
        youngest = max(self._seated.values(), key=lambda reply: reply.handle)
        if len(self._seated) == 1:
            raise EngineError("llama.cpp has no room for a single reply. --debug shows its log.")
        self._cut(self._leave(youngest), 0)
        place = sum(reply.handle < youngest.handle for reply in self._waiting)
        self._waiting.insert(place, youngest)

    def _clear(self, reason: FinishReason | None = None) -> None:
        """Empty the cache after a failure, and end all replies."""
        for reply in self._live():
            if reason is not None:
                self._end(reply, reason)
            elif reply.seq is not None:
                self._leave(reply)
        self._waiting.clear()
        if reason is None:
            self._events.clear()
        for seq in self._idle:
            self._cut(seq, 0)

    # Small things

    def _live(self) -> list[Reply]:
        return [*self._seated.values(), *self._waiting]

    def _fill(self, reply: Reply, ids: list[int]) -> None:
        assert reply.seq is not None
        self.cells.fill(reply.seq, ids)
        reply.n_past += len(ids)

    def _cut(self, seq: int, n_tokens: int) -> None:
        self._evaluator.cut(seq, n_tokens)
        self.cells.cut(seq, n_tokens)

    def _tell(self, reply: Reply, step: Step) -> None:
        self._events.append(SlotStep(reply.handle, step))

    def _told(self) -> list[SlotStep]:
        events, self._events = self._events, []
        return events
