"""Logits for texts that are only read: many chunks of tokens at once, each its own sequence."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relay_gguf.errors import EngineError
from relay_gguf.fit.memory import N_CTX_STEP, padded
from relay_gguf.fit.plan import MAX_SLOTS, N_BATCH, LoadOptions
from relay_gguf.llama.gguf_engine import LoadedEngine
from relay_gguf.llama.load import Loaded
from relay_gguf.llama.native import lib
from relay_gguf.llama.thread import wait
from relay_gguf.llama.tokenizer import added_bos

from .context import ABORTED, DONE, batch_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relay_gguf.sampling import Logits


def at_once(n_ctx: int) -> int:
    """How many chunks of `n_ctx` tokens are read together."""
    return min(MAX_SLOTS, max(1, N_BATCH // n_ctx))


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Logits of one chunk from `position` on, (n_rows, n_vocab), until the next are asked for."""

    chunk: int
    position: int
    logits: Logits


class ChunkLogits(LoadedEngine):
    """A GGUF file in memory that reads chunks of tokens and tells what it expected after each.

    Batches are cut as those of llama.cpp's perplexity tool: as many chunks at once as a batch
    holds, or a chunk in several batches.
    """

    def __init__(
        self,
        path: str | Path,
        n_ctx: int,
        options: LoadOptions | None = None,
        *,
        n_threads: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            n_ctx: tokens of a chunk.
            options: the GPU's layers and the like; slots and context are set here.
            n_threads: threads of the CPU; None for one for each physical core.
            on_progress: called from another thread with the share that is loaded, 0 to 1.

        Raises:
            ModelError, MemoryShortError, SettingsError: as `LlamaEngine`.
        """
        self.n_at_once = at_once(n_ctx)
        self.first = n_ctx // 2
        n_wanted = n_ctx - 1 - self.first
        room = max(N_CTX_STEP, n_ctx)
        options = replace(
            options or LoadOptions(),
            n_ctx=room,
            kv_type="f16",  # a coarser cache would be measured too
            n_slots=self.n_at_once,
            n_cells=self.n_at_once * padded(room),
            n_outputs=self.n_at_once * n_wanted if n_ctx <= N_BATCH else N_BATCH,
            kv_unified=False,  # they have nothing in common
        )
        super().__init__(
            path, options, n_threads=n_threads, on_progress=on_progress, thread="relay-chunks"
        )

    @property
    def n_vocab(self) -> int:
        """Tokens of the vocabulary, and values of a row."""
        return self._model.n_vocab

    def rows(self, chunks: NDArray[np.int32]) -> Iterator[ChunkRows]:
        """Read chunks (n_chunks, n_ctx), and yield the logits after the tokens of their later half.

        The first half is what the model knows of a text. After the last token nothing follows that
        could be compared. A chunk's first token is replaced by the file's BOS where it wants one.

        Raises:
            EngineError: llama.cpp failed, or the engine was closed.
        """
        chunks, bos = chunks.copy(), added_bos(self._model.vocab)
        if bos is not None:
            chunks[:, 0] = bos
        for start in range(0, len(chunks), self.n_at_once):
            group = chunks[start : start + self.n_at_once]
            wait(self._thread.submit(lib.llama_memory_clear, self._model.memory, True))
            for begin in range(0, group.shape[1], N_BATCH):
                part = group[:, begin : begin + N_BATCH]
                positions = np.arange(begin, begin + part.shape[1], dtype=np.int32)
                wanted = (positions >= self.first) & (positions < group.shape[1] - 1)
                wait(self._thread.submit(_evaluate, self._model, part, positions, wanted))
                yield from self._given(start, positions[wanted], len(group))

    def _given(
        self, start: int, positions: NDArray[np.int32], n_chunks: int
    ) -> Iterator[ChunkRows]:
        """The rows of the last evaluation, in llama.cpp's own memory."""
        if not len(positions):
            return
        model = self._model
        address = ctypes.addressof(lib.llama_get_logits(model.ctx).contents)
        size = n_chunks * len(positions) * model.n_vocab
        flat = np.ctypeslib.as_array((ctypes.c_float * size).from_address(address))
        each = flat.reshape(n_chunks, len(positions), model.n_vocab)
        for index in range(n_chunks):
            yield ChunkRows(start + index, int(positions[0]), each[index])


def _evaluate(
    model: Loaded,
    part: NDArray[np.int32],
    positions: NDArray[np.int32],
    wanted: NDArray[np.bool_],
) -> None:
    """Evaluate the same positions of several chunks. On the engine's thread.

    Raises:
        EngineError: llama.cpp failed.
    """
    n_chunks, length = part.shape
    count = n_chunks * length
    ids = np.ascontiguousarray(part.reshape(-1))
    seqs = np.repeat(np.arange(n_chunks, dtype=np.int32), length)
    batch = batch_of(
        token=ids,
        pos=(all_positions := np.tile(positions, n_chunks)),
        n_seq_id=(one_each := np.ones(count, np.int32)),
        seq_id=(places := (seqs.ctypes.data + 4 * np.arange(count, dtype=np.uintp))),
        logits=(all_wanted := np.tile(wanted, n_chunks).astype(np.int8)),
    )
    batch.n_tokens = count
    status = int(lib.llama_decode(model.ctx, batch))
    lib.llama_synchronize(model.ctx)
    del all_positions, one_each, places, all_wanted  # llama.cpp read them until here
    if status == ABORTED:
        raise EngineError("The evaluation was stopped.")
    if status != DONE:
        raise EngineError(
            f"llama.cpp could not evaluate {count} tokens of {n_chunks} chunks (llama_decode "
            f"returned {status}). --debug shows its log."
        )
