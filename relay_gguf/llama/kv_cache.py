"""llama.cpp's KV cache: its tokens, and the evaluations that fill it. The engine's thread only."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from relay_gguf.errors import EngineError
from relay_gguf.fit.plan import N_BATCH
from relay_gguf.machine.devices import available_memory

from .contexts.context_folder import WORTH_KEEPING, ContextFolder
from .contexts.snapshots import Snapshot, Snapshots, common_prefix
from .load import Loaded
from .native import lib


class KvCache:
    """The cache of one context: `past` are the token ids whose K and V are in it, by position.

    `model` is the loaded model with that context; an evaluation stops when `flag` has a character.
    """

    def __init__(
        self,
        model: Loaded,
        flag: ctypes.Array[ctypes.c_char],
        room: int = 0,
        folder: ContextFolder | None = None,
    ) -> None:
        """Begin with an empty cache.

        Args:
            model: the loaded model with its context.
            flag: an evaluation stops when it holds a character.
            room: bytes of RAM for snapshots of conversations that made room for another.
            folder: where conversations are that go on; None is nowhere.
        """
        self.past: list[int] = []
        self.snapshots = Snapshots(room)
        self._folder = folder
        self.model = model
        self.flag = flag
        self._shifting = False  # llama.cpp moves the cache in the next evaluation, not at once
        self._tokens: ctypes.Array[Any] = (lib.llama_token * N_BATCH)()
        self._batch = lib.llama_batch_get_one(self._tokens, N_BATCH)  # points to _tokens

    def reuse(self, prompt: Sequence[int]) -> int:
        """Cut the cache down to the prefix that it shares with `prompt`; the number of its tokens.

        It is never the whole prompt: the last token is evaluated again, for its logits.
        """
        shared = common_prefix(self.past, prompt[:-1])
        if 2 * shared < len(self.past) or not self.past:  # another conversation
            snapshot = self.snapshots.take(prompt[:-1], shared)  # before the next line drops it
            if snapshot is None and self._folder is not None:
                over = shared + WORTH_KEEPING
                snapshot = self._folder.find(prompt[:-1], over, self.model.n_ctx)
            if len(self.past) >= WORTH_KEEPING and (kept := self.snapshot(self.snapshots.room)):
                self.snapshots.keep(kept)
            if snapshot is not None:
                self._fill(snapshot)
                shared = common_prefix(self.past, prompt[:-1])
        if not lib.llama_memory_seq_rm(self.model.memory, 0, shared, -1):
            lib.llama_memory_clear(self.model.memory, True)  # a recurrent state cannot be cut
            shared = 0
        del self.past[shared:]
        return shared

    def evaluate(self, tokens: list[int]) -> bool:
        """Evaluate up to N_BATCH tokens after the tokens in the cache; False if cancelled.

        Raises:
            EngineError: llama.cpp failed.
        """
        if self.flag[0] != b"\0":
            return False
        # A C call gives Python's lock to the consumer, who has just got a token and may keep the
        # lock for milliseconds. So there is none here but the one that evaluates meanwhile.
        self._tokens[: len(tokens)] = tokens
        self._batch.n_tokens = len(tokens)
        status = lib.llama_decode(self.model.ctx, self._batch)
        if status == 0:
            self.past += tokens
            self._shifting = False
            return True
        if self._shifting:  # some layers are moved, some are not, and nobody knows which
            lib.llama_memory_clear(self.model.memory, True)
            self.past.clear()
            self._shifting = False
        lib.llama_memory_seq_rm(self.model.memory, 0, len(self.past), -1)
        if status == 2:
            return False
        raise EngineError(
            f"llama.cpp could not evaluate {len(tokens)} tokens after {len(self.past)} "
            f"(llama_decode returned {status}). --debug shows its log."
        )

    def remove(self, prompt: list[int], start: int) -> bool:
        """Remove `prompt[start:]` and move up the tokens that follow; False if that is impossible.

        The cache must begin with `prompt`.
        """
        stop = len(prompt)
        if self.past[:stop] != prompt or not self.model.can_shift:
            return False
        if not lib.llama_memory_seq_rm(self.model.memory, 0, start, stop):
            return False
        lib.llama_memory_seq_add(self.model.memory, 0, stop, -1, start - stop)
        del self.past[start:stop]
        self._shifting = True
        return True

    def keep(self, rate: float, wanted: Callable[[], bool]) -> int:
        """Write this conversation and those in RAM to the folder, where that pays.

        They come in the order of their last use, as far as `PATIENCE` reaches for all.

        Args:
            rate: tokens a second that the model reads.
            wanted: asked now and then; False gives up.

        Returns:
            The number of conversations that have a file now.
        """
        if self._folder is None:
            return 0
        most = (available_memory() or 0) // 2
        here = (self.past, lambda: self.snapshot(most))
        kept = ((snapshot.ids, partial(_itself, snapshot)) for snapshot in self.snapshots)
        return self._folder.keep_all((here, *kept), rate, wanted)

    def snapshot(self, most: int) -> Snapshot | None:
        """A copy of the cache; None if it has more bytes than `most`, or is being moved."""
        if self._shifting:  # its positions are not yet right
            return None
        return copied(self.model.ctx, 0, self.past, most)

    def _fill(self, snapshot: Snapshot) -> None:
        """Replace the cache by a snapshot; the cache is empty if that fails."""
        ctx, memory = self.model.ctx, self.model.memory
        lib.llama_memory_clear(memory, True)
        self.past.clear()
        if lib.llama_state_seq_set_data(ctx, snapshot.state, snapshot.n_bytes, 0):
            self.past += snapshot.ids
        else:
            lib.llama_memory_clear(memory, True)


def copied(ctx: Any, seq: int, ids: Sequence[int], most: int) -> Snapshot | None:
    """A copy of a sequence of a context; None if it has more bytes than `most`.

    Args:
        ctx: llama.cpp's context, on the thread that owns it.
        seq: the sequence.
        ids: its tokens.
        most: bytes.
    """
    n_bytes = lib.llama_state_seq_get_size(ctx, seq)
    if n_bytes > most:
        return None
    state = (ctypes.c_uint8 * n_bytes)()
    if lib.llama_state_seq_get_data(ctx, state, n_bytes, seq) != n_bytes:
        return None
    return Snapshot(tuple(ids), state, n_bytes)


def _itself(snapshot: Snapshot) -> Snapshot:
    return snapshot


def abort_callback(flag: ctypes.Array[ctypes.c_char]) -> tuple[Any, ctypes.c_void_p]:
    """The C function and data by which llama.cpp asks, some 500 times a token, whether to go on.

    A Python function there would cost a small model 5 % of its speed. C's strlen, given a buffer
    that holds "" or one character, answers at no cost.
    """
    strlen = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).strlen
    return ctypes.cast(strlen, lib.ggml_abort_callback), ctypes.cast(flag, ctypes.c_void_p)
