"""llama.cpp's KV cache: its tokens, and the evaluations that fill it. The engine's thread only."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

from relay_gguf.engine import Prefilling
from relay_gguf.errors import EngineError
from relay_gguf.fit.plan import N_BATCH

from .load import Loaded
from .native import lib
from .snapshots import Snapshot, Snapshots, common_prefix

WORTH_KEEPING: Final = 128
"""Tokens of a conversation below which evaluating them again is as quick as a copy."""


class KvCache:
    """The cache of one context: `past` are the token ids whose K and V are in it, by position."""

    def __init__(self, model: Loaded, flag: ctypes.Array[ctypes.c_char], room: int = 0) -> None:
        """Begin with an empty cache.

        Args:
            model: the loaded model with its context.
            flag: an evaluation stops when it holds a character.
            room: bytes of RAM for snapshots of conversations that made room for another.
        """
        self.past: list[int] = []
        self.snapshots = Snapshots(room)
        self._model = model
        self._flag = flag
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
            self._keep()
            if snapshot is not None:
                self._fill(snapshot)
                shared = common_prefix(self.past, prompt[:-1])
        if not lib.llama_memory_seq_rm(self._model.memory, 0, shared, -1):
            lib.llama_memory_clear(self._model.memory, True)  # a recurrent state cannot be cut
            shared = 0
        del self.past[shared:]
        return shared

    def evaluate(self, tokens: list[int]) -> bool:
        """Evaluate up to N_BATCH tokens after the tokens in the cache; False if cancelled.

        Raises:
            EngineError: llama.cpp failed.
        """
        if self._flag[0] != b"\0":
            return False
        # A C call gives Python's lock to the consumer, who has just got a token and may keep the
        # lock for milliseconds. So there is none here but the one that evaluates meanwhile.
        self._tokens[: len(tokens)] = tokens
        self._batch.n_tokens = len(tokens)
        status = lib.llama_decode(self._model.ctx, self._batch)
        if status == 0:
            self.past += tokens
            self._shifting = False
            return True
        if self._shifting:  # some layers are moved, some are not, and nobody knows which
            lib.llama_memory_clear(self._model.memory, True)
            self.past.clear()
            self._shifting = False
        lib.llama_memory_seq_rm(self._model.memory, 0, len(self.past), -1)
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
        if self.past[:stop] != prompt or not self._model.can_shift:
            return False
        if not lib.llama_memory_seq_rm(self._model.memory, 0, start, stop):
            return False
        lib.llama_memory_seq_add(self._model.memory, 0, stop, -1, start - stop)
        del self.past[start:stop]
        self._shifting = True
        return True

    def _keep(self) -> None:
        """Copy the cache to RAM, if there is room and it is worth it."""
        if len(self.past) < WORTH_KEEPING or self._shifting:  # its positions are not yet right
            return
        n_bytes = lib.llama_state_seq_get_size(self._model.ctx, 0)
        if n_bytes > self.snapshots.room:
            return
        state = (ctypes.c_uint8 * n_bytes)()
        if lib.llama_state_seq_get_data(self._model.ctx, state, n_bytes, 0) == n_bytes:
            self.snapshots.keep(Snapshot(tuple(self.past), state, n_bytes))

    def _fill(self, snapshot: Snapshot) -> None:
        """Replace the cache by a snapshot; the cache is empty if that fails."""
        ctx, memory = self._model.ctx, self._model.memory
        lib.llama_memory_clear(memory, True)
        self.past.clear()
        if lib.llama_state_seq_set_data(ctx, snapshot.state, snapshot.n_bytes, 0):
            self.past += snapshot.ids
        else:
            lib.llama_memory_clear(memory, True)


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
        if done > self._done and now > self._since:
            self._rate = (done - self._done) / (now - self._since)
        self._done, self._since = done, now
        return self._step(done)

    def guess(self, now: float) -> Prefilling | None:
        """How far it is probably; None if no prompt is being evaluated."""
        if not self._total:
            return None
        ahead = min(int(self._rate * (now - self._since)), N_BATCH)
        return self._step(max(self._done, min(self._done + ahead, self._total - 1)))

    def end(self, now: float) -> float:
        """The whole prompt is evaluated; returns the rate in tokens a second."""
        self.read(self._total, now)
        self._total = 0
        return self._rate

    def _step(self, done: int) -> Prefilling:
        left = (self._total - done) / self._rate if self._rate else None
        return Prefilling(done, self._total, left)
