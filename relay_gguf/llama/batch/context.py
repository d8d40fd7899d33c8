"""What evaluates the tokens of many sequences: a protocol, and llama.cpp with one context."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from relay_gguf.errors import EngineError
from relay_gguf.fit.memory import padded
from relay_gguf.fit.plan import N_BATCH
from relay_gguf.llama.contexts.context_folder import WORTH_KEEPING, ContextFolder
from relay_gguf.llama.contexts.snapshots import Snapshot
from relay_gguf.llama.draw.breakers import Breakers
from relay_gguf.llama.kv_cache import copied
from relay_gguf.llama.load import Loaded
from relay_gguf.llama.native import lib
from relay_gguf.machine.devices import available_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.sampling import Logits

Kept = tuple[Sequence[int], Callable[[], Snapshot | None]]
"""The token ids of a conversation, and what copies its cache."""

DONE: Final = 0
NO_ROOM: Final = 1
"""There are too few free cells; nothing has changed."""
ABORTED: Final = 2
"""The evaluation was stopped; any of its tokens may be in the cache."""


class Evaluator(Protocol):
    """A model with a cache of many sequences, numbered from 0."""

    @property
    def n_slots(self) -> int:
        """Sequences, and rows of logits of one evaluation at most."""

    @property
    def n_cells(self) -> int:
        """Tokens that the cache holds, all sequences together."""

    @property
    def n_ctx(self) -> int:
        """Tokens that one sequence may have."""

    @property
    def n_batch(self) -> int:
        """Tokens that are evaluated at once, at most."""

    @property
    def can_cut(self) -> bool:
        """Whether a sequence can be cut down to its first tokens, and these be shared."""

    @property
    def unified(self) -> bool:
        """Whether all sequences have one pool of cells, or each has `n_ctx` of its own."""

    def evaluate(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        seqs: Sequence[int],
        n_rows: int,
    ) -> int:
        """Evaluate tokens, each at its position of its sequence; the first `n_rows` give logits.

        Returns:
            `DONE`, `NO_ROOM` or `ABORTED`.

        Raises:
            EngineError: it failed.
        """

    def rows(self, n_rows: int) -> Logits:
        """The logits (n_rows, n_vocab) of the last evaluation; the caller may change them."""

    def cut(self, seq: int, n_tokens: int) -> None:
        """Cut a sequence down to its first tokens."""

    def remove(self, seq: int, start: int, stop: int) -> None:
        """Remove tokens of a sequence, and move up those that follow, which no other one has."""

    def share(self, source: int, target: int, n_tokens: int) -> bool:
        """Give the first tokens of a sequence to another, which is empty; False if that fails."""

    def put_by(self, seq: int, ids: Sequence[int]) -> None:
        """Keep what a sequence has, the evaluated `ids`, for `find`, if there is a place for it."""

    def find(self, prompt: Sequence[int], has: int) -> Snapshot | None:
        """A conversation that was put by, and has much more of a prompt than `has` tokens."""

    def fill(self, seq: int, snapshot: Snapshot) -> bool:
        """Fill an empty sequence with a snapshot; False, and it stays empty, if that fails."""

    def ends(self, token: int) -> bool:
        """Whether a token ends a reply of this model."""

    def breakers(self) -> frozenset[int]:
        """The tokens at which a repetition ends for DRY."""


class LlamaSlots:
    """One context of llama.cpp with a unified cache. For the engine's thread only."""

    unified = True

    def __init__(
        self,
        model: Loaded,
        flag: ctypes.Array[ctypes.c_char],
        folder: ContextFolder | None = None,
    ) -> None:
        """Take a model that was loaded with `n_slots` sequences.

        Args:
            model: the loaded model with its context.
            flag: an evaluation stops when it holds a character.
            folder: where conversations are that go on; None is nowhere.
        """
        settings = model.plan.settings
        self.n_slots = settings.n_slots
        self.n_cells = int(lib.llama_n_ctx(model.ctx))
        self.n_ctx = min(padded(settings.n_ctx), model.n_ctx)
        self.n_batch = max(N_BATCH, self.n_slots)
        self.can_cut = model.can_shift  # a recurrent state can be neither cut nor shared in part
        self._model = model
        self._flag = flag
        self._folder = folder if self.can_cut else None
        self._moving = False  # llama.cpp moves cells in the next evaluation, not at once
        self.breakers = Breakers(model.vocab)
        self._ends: dict[int, bool] = dict.fromkeys(
            (model.control.im_start, model.control.im_end), True
        )
        self._ids = np.zeros(self.n_batch, np.int32)
        self._positions = np.zeros(self.n_batch, np.int32)
        self._seqs = np.zeros(self.n_batch, np.int32)
        self._wanted = np.zeros(self.n_batch, np.int8)
        self._one_each = np.ones(self.n_batch, np.int32)
        places = self._seqs.ctypes.data + 4 * np.arange(self.n_batch, dtype=np.uintp)
        self._places = places.astype(np.uintp)  # where the sequence of each token stands
        self._batch = batch_of(
            token=self._ids,
            pos=self._positions,
            n_seq_id=self._one_each,
            seq_id=self._places,
            logits=self._wanted,
        )

    def evaluate(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        seqs: Sequence[int],
        n_rows: int,
    ) -> int:
        """Evaluate tokens; see `Evaluator`."""
        if self._flag[0] != b"\0":
            return ABORTED
        count = len(ids)
        self._lay_out(ids, positions, seqs, n_rows)
        self._batch.n_tokens = count
        status = int(lib.llama_decode(self._model.ctx, self._batch))
        if not n_rows:
            lib.llama_synchronize(self._model.ctx)  # a GPU goes on; who asks for rows waits for it
        self._moving &= status != DONE
        if status in (DONE, NO_ROOM, ABORTED):
            return status
        raise EngineError(
            f"llama.cpp could not evaluate {count} tokens of {len(set(seqs))} replies "
            f"(llama_decode returned {status}). --debug shows its log."
        )

    def _lay_out(
        self, ids: Sequence[int], positions: Sequence[int], seqs: Sequence[int], n_rows: int
    ) -> None:
        """Fill the columns of the batch."""
        count = len(ids)
        self._ids[:count] = ids
        self._positions[:count] = positions
        self._seqs[:count] = seqs
        self._wanted[:n_rows] = 1
        self._wanted[n_rows:count] = 0

    def rows(self, n_rows: int) -> Logits:
        """The logits (n_rows, n_vocab), in llama.cpp's own memory."""
        first = lib.llama_get_logits(self._model.ctx)  # waits for a GPU
        address = ctypes.addressof(first.contents)
        size = n_rows * self._model.n_vocab
        flat = np.ctypeslib.as_array((ctypes.c_float * size).from_address(address))
        return flat.reshape(n_rows, self._model.n_vocab)

    def cut(self, seq: int, n_tokens: int) -> None:
        """Cut a sequence down to its first tokens.

        Raises:
            EngineError: llama.cpp cannot.
        """
        if not lib.llama_memory_seq_rm(self._model.memory, seq, n_tokens, -1):
            raise EngineError(f"llama.cpp cannot cut a sequence of its cache to {n_tokens} tokens.")

    def remove(self, seq: int, start: int, stop: int) -> None:
        """Remove tokens of a sequence; those that follow are rotated by the next evaluation."""
        lib.llama_memory_seq_rm(self._model.memory, seq, start, stop)
        lib.llama_memory_seq_add(self._model.memory, seq, stop, -1, start - stop)
        self._moving = True

    def share(self, source: int, target: int, n_tokens: int) -> bool:
        """Let a sequence begin with the cells of another."""
        lib.llama_memory_seq_cp(self._model.memory, source, target, 0, n_tokens)
        return True

    def put_by(self, seq: int, ids: Sequence[int]) -> None:
        """Nothing: a pool keeps a conversation until its cells are needed."""

    def find(self, prompt: Sequence[int], has: int) -> Snapshot | None:
        """A conversation of the folder with `WORTH_KEEPING` tokens of a prompt more than `has`."""
        if self._folder is None:
            return None
        return self._folder.find(prompt, has + WORTH_KEEPING, self.n_ctx)

    def fill(self, seq: int, snapshot: Snapshot) -> bool:
        """Fill an empty sequence with a snapshot."""
        ctx, state, n_bytes = self._model.ctx, snapshot.state, snapshot.n_bytes
        if lib.llama_state_seq_set_data(ctx, state, n_bytes, seq):
            return True
        lib.llama_memory_seq_rm(self._model.memory, seq, -1, -1)
        return False

    def keep(
        self,
        conversations: Iterable[tuple[int, Sequence[int]]],
        rate: float,
        wanted: Callable[[], bool],
    ) -> int:
        """Write conversations to the folder where that pays, as far as `PATIENCE` reaches for all.

        Args:
            conversations: sequences and the tokens that each has, in the order of their last use.
            rate: tokens a second that the model reads.
            wanted: asked now and then; False gives up.

        Returns:
            The number of conversations that have a file now.
        """
        if self._folder is None:
            return 0
        return self._folder.keep_all(self._kept(conversations), rate, wanted)

    def _kept(self, conversations: Iterable[tuple[int, Sequence[int]]]) -> Iterator[Kept]:
        """Conversations of the cache, each with what copies it."""
        for seq, ids in conversations:
            yield ids, partial(self._copy, seq, ids)

    def _copy(self, seq: int, ids: Sequence[int]) -> Snapshot | None:
        """A copy of a sequence; None where memory is short, or its positions are not yet right."""
        if self._moving:
            return None
        return copied(self._model.ctx, seq, ids, (available_memory() or 0) // 2)

    def ends(self, token: int) -> bool:
        """Whether a token is one that frames a turn, or ends a text."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(lib.llama_vocab_is_eog(self._model.vocab, token))
        return known


def batch_of(**columns: NDArray[Any]) -> Any:
    """llama.cpp's batch, whose columns are these arrays; they must live as long."""
    batch = lib.llama_batch()
    kinds = dict(lib.llama_batch._fields_)
    for name, column in columns.items():
        setattr(batch, name, ctypes.cast(ctypes.c_void_p(column.ctypes.data), kinds[name]))
    return batch
