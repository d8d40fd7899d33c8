"""A base's logits into a file, and other files' distance from it: one model in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from relay_gguf.doctor.fingerprint import fingerprint
from relay_gguf.errors import QualityError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.batch.chunk_logits import ChunkLogits, ChunkRows, at_once
from relay_gguf.machine.cpu import physical_cores

from .base_logits import BaseLogits, BaseWriter, n_scored, read_base_logits
from .kept_scores import KeptScores
from .model_file import ModelFile
from .probabilities import compared, packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK: Final = 16
"""Positions that a thread compares at once: their logits stay in the processor's cache, about."""

Watch = Callable[[str, int, int], None]
"""Is told a file's name, and how many chunks of how many are read."""


@dataclass(frozen=True, slots=True)
class Computing:
    """How models are loaded, and who is told how far they are."""

    options: LoadOptions = field(default_factory=LoadOptions)
    n_threads: int | None = None
    watch: Watch = lambda name, done, total: None


def write_base(
    base: ModelFile, tokens: NDArray[np.int32], path: Path, computing: Computing, text: str = ""
) -> BaseLogits:
    """Let a base read chunks (n_chunks, n_ctx), and write what it expected; whole or not at all.

    Args:
        base: its file.
        tokens: the chunks.
        path: the file of logits.
        computing: how to load the base.
        text: what the tokens are of, for people.

    Raises:
        ModelError, MemoryShortError, SettingsError: as `LlamaEngine`.
        EngineError: llama.cpp failed.
        QualityError: the file cannot be written, or the logits are not finite.
    """
    with (
        BaseWriter(path, tokens, base.n_vocab, {**base.origin, "text": text}) as writer,
        _reading(base, tokens, computing) as rows,
        _threads(computing) as pool,
    ):
        for each in rows:
            for records in pool.map(packed, _blocks(each.logits)):
                writer.add(records)
    return read_base_logits(path)


def score(
    file: ModelFile, base: BaseLogits, computing: Computing, kept: Path | None = None
) -> NDArray[np.float32]:
    """How a file differs from a base at each scored position, see `probabilities.compared`.

    Args:
        file: of the same model.
        base: the base's logits.
        computing: how to load it.
        kept: a folder where values are kept, so that a run that was stopped goes on there.

    Returns:
        (n_positions, N_COLUMNS)

    Raises:
        ModelError, MemoryShortError, SettingsError: as `LlamaEngine`.
        EngineError: llama.cpp failed.
        QualityError: the vocabularies differ in size, or the logits are not finite.
    """
    if file.n_vocab != base.n_vocab:
        raise QualityError(
            f"{base.path} has logits for {base.n_vocab:,} tokens, and {file.path} knows "
            f"{file.n_vocab:,}: they are of different models. Make the logits with this file's "
            "base."
        )
    each_chunk = n_scored(base.n_ctx)
    with KeptScores(kept, _key(file, base)) as scores:
        n_done = scores.n_rows // each_chunk
        if n_done < len(base.tokens):  # llama.cpp's results depend on what is read together
            n_done -= n_done % at_once(base.n_ctx)
        scores.keep_first(n_done * each_chunk)
        if n_done < len(base.tokens):
            with (
                _reading(file, base.tokens, computing, n_done) as rows,
                _threads(computing) as pool,
            ):
                for each in rows:
                    n_rows, start = len(each.logits), each.position + 1
                    following = base.tokens[each.chunk, start : start + n_rows]
                    records = base.records(each.chunk, start - 1 - base.n_ctx // 2, n_rows)
                    blocks = [_blocks(part) for part in (each.logits, records, following)]
                    for values in pool.map(compared, *blocks):
                        scores.add(values)
        return scores.values(base.n_positions)


def _blocks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


@contextmanager
def _reading(
    file: ModelFile, tokens: NDArray[np.int32], computing: Computing, n_done: int = 0
) -> Iterator[Iterator[ChunkRows]]:
    """A loaded model that reads chunks, but for the first `n_done`, and tells how far it is."""
    total = len(tokens)
    with ChunkLogits(
        file.path, tokens.shape[1], computing.options, n_threads=computing.n_threads
    ) as engine:

        def rows() -> Iterator[ChunkRows]:
            computing.watch(file.name, n_done, total)
            for each in engine.rows(tokens[n_done:]):
                chunk = n_done + each.chunk
                yield ChunkRows(chunk, each.position, each.logits)
                computing.watch(file.name, chunk + 1, total)

        yield rows()


def _threads(computing: Computing) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(computing.n_threads or physical_cores())


def _key(file: ModelFile, base: BaseLogits) -> str:
    """What values belong to: both models, the text and llama.cpp's build.

    Files of one size that differ in the types of some tensors may have the same edges.
    """
    running = sha256(f"{fingerprint()} {file.identity} {base.n_vocab} {base.tokens.shape}".encode())
    running.update(repr([(info.name, info.ggml_type) for info in file.model.tensors]).encode())
    running.update(base.tokens.tobytes())
    running.update(base.records(0, 0, 1).tobytes())
    running.update(base.records(len(base.tokens) - 1, n_scored(base.n_ctx) - 1, 1).tobytes())
    return running.hexdigest()
