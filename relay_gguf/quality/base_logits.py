"""The file of a base's logits, in the form of llama.cpp's `llama-perplexity --save-all-logits`.

    _logits_        8 bytes
    n_ctx, n_vocab, n_chunks              int32 each
    tokens          int32, n_chunks * n_ctx
    records         for each scored position of each chunk: see `probabilities.packed`
    _relay__        8 bytes, and a JSON object that says which model it was; llama.cpp stops before

Scored are the positions n_ctx // 2 to n_ctx - 2 of each chunk.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from relay_gguf.disk import free_space, partial, sync_folder
from relay_gguf.display import size
from relay_gguf.errors import QualityError

from .probabilities import record_width

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

MAGIC: Final = b"_logits_"
ORIGIN: Final = b"_relay__"
_HEAD: Final = struct.Struct("<8siii")
_MOST_ORIGIN: Final = 1 << 16


def n_scored(n_ctx: int) -> int:
    """Positions of a chunk whose logits are compared: its later half, but for the last token."""
    return n_ctx - 1 - n_ctx // 2


@dataclass(frozen=True, slots=True)
class BaseLogits:
    """A whole file of logits. `origin` is empty where llama.cpp wrote it."""

    path: Path
    n_vocab: int
    tokens: NDArray[np.int32]  # (n_chunks, n_ctx)
    origin: Mapping[str, Any]

    @property
    def n_ctx(self) -> int:
        """Tokens of a chunk."""
        return int(self.tokens.shape[1])

    @property
    def n_positions(self) -> int:
        """Positions of all chunks."""
        return len(self.tokens) * n_scored(self.n_ctx)

    def records(self, chunk: int, start: int, n: int) -> NDArray[np.uint16]:
        """Records of a chunk, (n, `record_width`), from the scored position `start` on."""
        width = record_width(self.n_vocab)
        index = chunk * n_scored(self.n_ctx) + start
        offset = _HEAD.size + self.tokens.nbytes + 2 * width * index
        with self.path.open("rb") as file:
            file.seek(offset)
            found = np.fromfile(file, np.dtype("<u2"), n * width)
        if len(found) < n * width:
            raise QualityError(f"{self.path} became shorter while it was read. Make it again.")
        return found.reshape(n, width)


def bytes_needed(n_chunks: int, n_ctx: int, n_vocab: int) -> int:
    """Bytes of a file without its origin."""
    n_records = n_chunks * n_scored(n_ctx)
    return _HEAD.size + 4 * n_chunks * n_ctx + 2 * record_width(n_vocab) * n_records


def read_base_logits(path: Path) -> BaseLogits:
    """Open a file of logits.

    Raises:
        QualityError: it is not there, is not such a file, or is not whole.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise QualityError(f"There is no file {path}. --save-base writes one.") from None
    except OSError as error:
        raise QualityError(f"Cannot read {path}: {error.strerror or error}.") from error


def _read(path: Path) -> BaseLogits:
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or head[:8] != MAGIC:
            raise QualityError(
                f"{path} is not a file of logits (it begins with {head[:8]!r}). --save-base writes "
                "one, and so does llama-perplexity --save-all-logits."
            )
        _, n_ctx, n_vocab, n_chunks = _HEAD.unpack(head)
        if n_ctx < 4 or n_vocab < 2 or n_chunks < 1:
            raise QualityError(
                f"{path} is damaged: it says {n_chunks} chunks of {n_ctx} tokens of {n_vocab}. "
                "Make it again."
            )
        needed = bytes_needed(n_chunks, n_ctx, n_vocab)
        if there < needed:
            raise QualityError(
                f"{path} is truncated: it has {there:,} bytes of {needed:,}. Make it again."
            )
        tokens = np.fromfile(file, np.dtype("<i4"), n_chunks * n_ctx).reshape(n_chunks, n_ctx)
        if tokens.min() < 0 or tokens.max() >= n_vocab:
            raise QualityError(f"{path} is damaged: it has tokens that are none. Make it again.")
        file.seek(needed)
        origin = _origin(file.read(_MOST_ORIGIN))
    return BaseLogits(path, n_vocab, tokens.astype(np.int32), origin)


def _origin(data: bytes) -> dict[str, Any]:
    if data.startswith(ORIGIN):
        with suppress(ValueError):
            found = json.loads(data[len(ORIGIN) :])
            if isinstance(found, dict):
                return found
    return {}


class BaseWriter:
    """Writes a file of logits, which gets its name when it is whole; until then it is removed."""

    def __init__(
        self,
        path: Path,
        tokens: NDArray[np.int32],
        n_vocab: int,
        origin: Mapping[str, Any],
    ) -> None:
        """Begin a file.

        Args:
            path: its name.
            tokens: of all chunks, (n_chunks, n_ctx).
            n_vocab: tokens of the vocabulary.
            origin: which model it is, for those who read the file later.

        Raises:
            QualityError: it cannot be written, or the disk has too little room.
        """
        self._path, self._origin = path, origin
        n_chunks, n_ctx = tokens.shape
        self._needed = bytes_needed(n_chunks, n_ctx, n_vocab)
        try:
            free = free_space(path.parent)
            if free < self._needed:
                raise QualityError(
                    f"{path} needs {size(self._needed)}, and {size(free)} are free there. Take "
                    "fewer --positions, or --save-base on another disk."
                )
            self._file: BinaryIO = partial(path).open("wb")
            self._file.write(_HEAD.pack(MAGIC, n_ctx, n_vocab, n_chunks))
            self._file.write(tokens.astype("<i4").tobytes())
        except OSError as error:
            raise QualityError(f"Cannot write {path}: {error.strerror or error}.") from error

    def add(self, records: NDArray[np.uint16]) -> None:
        """Write the records of the next positions.

        Raises:
            QualityError: they cannot be written.
        """
        try:
            self._file.write(records.astype("<u2", copy=False).tobytes())
        except OSError as error:
            raise QualityError(f"Cannot write {self._path}: {error.strerror or error}.") from error

    def __enter__(self) -> BaseWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._file.write(ORIGIN + json.dumps(self._origin).encode())
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with suppress(OSError):
                self._file.close()
            if kind is not None:
                with suppress(OSError):
                    partial(self._path).unlink()
        if kind is None:
            partial(self._path).replace(self._path)
            sync_folder(self._path.parent)
