"""A model and a text → an importance matrix, chunk by chunk, and what it has not seen."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from relay_gguf.disk import write_whole
from relay_gguf.errors import CalibrationError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.llama.activations.collector import BLOCK, Sums

from .calibration_text import CalibrationText, ChunkVocabulary, chunks_of
from .imatrix_file import imatrix_bytes
from .unfinished import UnfinishedSums, keep_unfinished, read_unfinished, unfinished_path

EVERY: Final = 10
"""Chunks after which the sums are kept: a kill costs these."""
EDGE: Final = 1 << 20
"""Bytes that are read of each file's beginning and end, to know a model again."""


class ChunkReader(ChunkVocabulary, Protocol):
    """A model that reads chunks: `ActivationReader`."""

    @property
    def n_ctx(self) -> int:
        """Tokens of a chunk."""

    def read(self, chunk: Sequence[int]) -> Sums:
        """The sums of what went into each weight while it read a chunk."""


@dataclass(frozen=True, slots=True)
class ReadChunks:
    """The progress of a run: `done` of `total` chunks, the first `resumed` by an earlier run."""

    done: int
    total: int
    resumed: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a run made: how much was read, and what was never seen.

    Attributes:
        unseen: weights of the model's blocks that nothing went into.
        idle_experts: weight → the experts that no token came to.
        idle_columns: weight → how many of its columns were always 0.
    """

    n_chunks: int
    n_tokens: int
    n_weights: int
    unseen: tuple[str, ...]
    idle_experts: Mapping[str, tuple[int, ...]]
    idle_columns: Mapping[str, int]


def calibrate(
    reader: ChunkReader,
    model: GgufModel,
    texts: Sequence[CalibrationText],
    out: Path,
    *,
    most: int | None = None,
    parse_special: bool = False,
    restart: bool = False,
) -> Generator[ReadChunks, None, Calibration]:
    """Read the texts and write the file; yields progress. The same call goes on after a stop.

    Args:
        reader: the model in memory.
        model: its headers.
        texts: to read.
        out: the file.
        most: chunks to read; None for all.
        parse_special: texts of control tokens in plain texts are these tokens.
        restart: discard what a stopped run left.

    Raises:
        CalibrationError: the texts are too short, another run's sums are in the way, or the file
            cannot be written.
        EngineError: llama.cpp failed.
    """
    chunks = chunks_of(texts, reader, reader.n_ctx, most=most, parse_special=parse_special)
    identity = _identity(model, chunks)
    sums: Sums = {}
    done = kept = 0
    if not restart and (earlier := read_unfinished(out)) is not None:
        if earlier.identity != identity or earlier.n_chunks > len(chunks):
            raise CalibrationError(
                f"{unfinished_path(out)} is of another run: another model, text, --n-ctx or "
                "--chunks. Give the same options to go on, or --restart to begin anew."
            )
        sums, done = earlier.sums, earlier.n_chunks
        kept = done
    resumed = done
    between = True  # two chunks: a Ctrl-C while sums are added leaves some without a chunk
    try:
        try:
            yield ReadChunks(done, len(chunks), resumed)
            for chunk in chunks[done:]:
                found = reader.read(chunk)
                between = False
                _add(sums, found)
                done += 1
                between = True
                if done - kept >= EVERY and done < len(chunks):
                    keep_unfinished(out, UnfinishedSums(identity, done, sums))
                    kept = done
                yield ReadChunks(done, len(chunks), resumed)
        except BaseException:
            if done > kept and between:
                keep_unfinished(out, UnfinishedSums(identity, done, sums))
            raise
        names = [text.name for text in texts]
        if not sums:
            raise CalibrationError(
                f"{model.path}: no matrix product of its blocks was seen. Chunks must have 16 "
                "tokens or more (--n-ctx)."
            )
        content = imatrix_bytes(sums, names, n_chunks=len(chunks), n_ctx=reader.n_ctx)
        write_whole(out, content)
        unfinished_path(out).unlink(missing_ok=True)
    except OSError as error:
        where = error.filename or out
        raise CalibrationError(f"Cannot write {where}: {error.strerror or error}.") from error
    return _covered(model, sums, len(chunks), reader.n_ctx)


def _add(sums: Sums, found: Sums) -> None:
    for name, entry in found.items():
        if name in sums:
            sums[name].add(entry)
        else:
            sums[name] = entry


def _covered(model: GgufModel, sums: Sums, n_chunks: int, n_ctx: int) -> Calibration:
    weights = [
        info.name
        for info in model.tensors
        if info.name.startswith(BLOCK) and info.name.endswith(".weight") and len(info.shape) > 1
    ]
    experts = {name: (entry.counts == 0).nonzero()[0].tolist() for name, entry in sums.items()}
    columns = {
        name: int((entry.squares[entry.squares.any(axis=1)] == 0).sum())
        for name, entry in sums.items()
    }
    return Calibration(
        n_chunks=n_chunks,
        n_tokens=n_chunks * n_ctx,
        n_weights=len(sums),
        unseen=tuple(name for name in weights if name not in sums),
        idle_experts={name: tuple(found) for name, found in experts.items() if found},
        idle_columns={name: count for name, count in columns.items() if count},
    )


def _identity(model: GgufModel, chunks: Sequence[Sequence[int]]) -> str:
    """A digest of the model's files, by size and edges, and of the chunks."""
    running = sha256(json.dumps(chunks).encode())
    for shard in model.shards:
        running.update(f"{shard.size} ".encode())
        with shard.path.open("rb") as file:
            running.update(file.read(EDGE))
            file.seek(-min(EDGE, shard.size), os.SEEK_END)
            running.update(file.read(EDGE))
    return running.hexdigest()
