"""llama.cpp with a stream of cells for each sequence, instead of one pool for all.

A token then passes over the cells of its own sequence alone. In a pool of 16 conversations of 700
tokens a reply, and all the more the reading of a prompt, passes over those of the 15 others too.

llama.cpp evaluates together what stands in neighbouring streams, as many tokens of each, and the
rest after that. So a batch is in the order of its sequences; and a short gap between them is filled
by a token that is forgotten at once, which takes less time than to go through the weights again.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from relay_gguf.llama.contexts.context_folder import WORTH_KEEPING, ContextFolder
from relay_gguf.llama.contexts.snapshots import Snapshot, Snapshots, common_prefix
from relay_gguf.llama.load import Loaded
from relay_gguf.llama.native import lib

from .context import Kept, LlamaSlots
from .seating import WORTH_COPYING

FILLED: Final = 3
"""Streams without a reply, between two that have one, that get a token, at most."""
STATE: Final = struct.Struct("=III")
"""What a state of llama.cpp begins with: a magic number, its sequence, the number of streams. For
each stream follow its number of cells, 4 bytes, and what these hold: 0 for all but this sequence's.
"""


class StreamSlots(LlamaSlots):
    """One context of llama.cpp with a cache of its own for each sequence, and a place in RAM.

    What the streams have no room for waits in RAM, as with an engine for one conversation.
    """

    unified = False

    def __init__(
        self,
        model: Loaded,
        flag: ctypes.Array[ctypes.c_char],
        folder: ContextFolder | None = None,
        room: int = 0,
    ) -> None:
        """Take a model that was loaded with `n_slots` sequences.

        Args:
            model, flag, folder: as for `LlamaSlots`.
            room: bytes of RAM for conversations that made room for another.
        """
        super().__init__(model, flag, folder)
        self._snapshots = Snapshots(room if self.can_cut else 0)
        # Else it is two caches in one, whose states are only given back to the same context.
        empty = STATE.size + 4 * self.n_slots
        self._is_plain = lib.llama_state_seq_get_size(model.ctx, 0) == empty
        if not self._is_plain:
            self._folder = None

    def evaluate(
        self, ids: Sequence[int], positions: Sequence[int], seqs: Sequence[int], n_rows: int
    ) -> int:
        """Evaluate tokens; see `Evaluator`. The rows must be in the order of their sequences."""
        filled = [(seq, self._length(seq)) for seq in self._gaps(seqs)]
        if not filled or len(ids) + len(filled) > self.n_batch:
            return super().evaluate(ids, positions, seqs, n_rows)
        try:
            return super().evaluate(
                [*ids, *(ids[0] for _ in filled)],
                [*positions, *(length for _, length in filled)],
                [*seqs, *(seq for seq, _ in filled)],
                n_rows,
            )
        finally:
            for seq, length in filled:
                self.cut(seq, length)

    def share(self, source: int, target: int, n_tokens: int) -> bool:
        """Copy a sequence to another stream, and cut it there."""
        snapshot = self._copy(source, ())
        if snapshot is None or not self.fill(target, snapshot):
            return False
        self.cut(target, n_tokens)
        return True

    def put_by(self, seq: int, ids: Sequence[int]) -> None:
        """Keep a copy of a conversation in RAM."""
        if len(ids) >= WORTH_KEEPING and self._snapshots.room:
            snapshot = self._copy(seq, ids)
            if snapshot is not None:
                self._snapshots.keep(snapshot)

    def find(self, prompt: Sequence[int], has: int) -> Snapshot | None:
        """A conversation that waits in RAM, or else one of the folder."""
        found = self._snapshots.take(prompt, has + WORTH_COPYING)
        if found is None:
            return super().find(prompt, has)
        if 2 * common_prefix(found.ids, prompt) < len(found.ids):
            self._snapshots.keep(found)  # another one, which only begins alike
        return found

    def fill(self, seq: int, snapshot: Snapshot) -> bool:
        """Fill an empty sequence with a snapshot."""
        return super().fill(seq, _among(self.n_slots, snapshot) if self._is_plain else snapshot)

    def _lay_out(
        self, ids: Sequence[int], positions: Sequence[int], seqs: Sequence[int], n_rows: int
    ) -> None:
        super()._lay_out(ids, positions, seqs, n_rows)
        count = len(ids)
        order = np.argsort(self._seqs[:count], kind="stable")
        for column in (self._ids, self._positions, self._seqs, self._wanted):
            column[:count] = column[order]

    def _gaps(self, seqs: Sequence[int]) -> Iterator[int]:
        """The streams without a token in short gaps between those that have one."""
        used = sorted(set(seqs)) if self.can_cut else []
        for left, right in pairwise(used):
            gap = range(left + 1, right)
            if len(gap) <= FILLED and all(self._length(seq) < self.n_ctx for seq in gap):
                yield from gap

    def _length(self, seq: int) -> int:
        return int(lib.llama_memory_seq_pos_max(self._model.memory, seq)) + 1

    def _kept(self, conversations: Iterable[tuple[int, Sequence[int]]]) -> Iterator[Kept]:
        yield from super()._kept(conversations)
        for snapshot in self._snapshots:
            yield snapshot.ids, partial(_itself, snapshot)

    def _copy(self, seq: int, ids: Sequence[int]) -> Snapshot | None:
        found = super()._copy(seq, ids)
        return _alone(self.n_slots, seq, found) if found and self._is_plain else found


def _alone(n_streams: int, seq: int, snapshot: Snapshot) -> Snapshot:
    """A state as a context with one stream gives it, in the same memory: what files hold."""
    magic, of_seq, _ = STATE.unpack_from(snapshot.state)
    begin = 4 * seq  # over the streams before it, which are empty
    STATE.pack_into(snapshot.state, begin, magic, of_seq, 1)
    n_bytes = snapshot.n_bytes - 4 * (n_streams - 1)
    state = (ctypes.c_uint8 * n_bytes).from_buffer(snapshot.state, begin)
    return Snapshot(snapshot.ids, state, n_bytes)


def _among(n_streams: int, snapshot: Snapshot) -> Snapshot:
    """A state of one stream as a context with several takes it, for any of them: as the first."""
    n_bytes = snapshot.n_bytes + 4 * (n_streams - 1)
    state = (ctypes.c_uint8 * n_bytes)()
    ctypes.memmove(state, snapshot.state, snapshot.n_bytes)
    magic, of_seq, _ = STATE.unpack_from(state)
    STATE.pack_into(state, 0, magic, of_seq, n_streams)
    return Snapshot(snapshot.ids, state, n_bytes)


def _itself(snapshot: Snapshot) -> Snapshot:
    return snapshot
