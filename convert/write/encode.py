"""One pass over the weights: each slab is read, merged and encoded once for all files.

Slabs are worked on by several threads, as NumPy and ggml let go of Python's lock, and come out in
order, so that a conversion holds some slabs for each thread and no tensor.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from relay_gguf.convert.arch.weights import Read, Tensor, Weights
from relay_gguf.convert.quantize.ggml import Type, decode, encode
from relay_gguf.convert.read.arrays import Array, Bytes
from relay_gguf.convert.read.merge import Slab, slabs
from relay_gguf.errors import ConversionError

AHEAD: Final = 2
"""Slabs that wait for each thread: enough to hide the writing, few enough to keep in memory."""


@dataclass(slots=True)
class ErrorSums:
    """The error of encoded values: the sum of its squares, and the largest."""

    squares: float = 0.0
    largest: float = 0.0

    def add(self, other: ErrorSums) -> None:
        """Add the error of further rows."""
        self.squares += other.squares
        self.largest = max(self.largest, other.largest)


@dataclass(slots=True)
class TensorStats:
    """Sums over a tensor's values: Σ merged², Σ base², Σ (merged - base)²; errors by type.

    `invalid` has the types that cannot hold a value.
    """

    squares: float = 0.0
    base_squares: float = 0.0
    moved_squares: float = 0.0
    not_finite: int = 0
    errors: dict[Type, ErrorSums] = field(default_factory=dict)
    invalid: set[Type] = field(default_factory=set)

    def add(self, other: TensorStats) -> None:
        """Add the sums of further rows."""
        self.squares += other.squares
        self.base_squares += other.base_squares
        self.moved_squares += other.moved_squares
        self.not_finite += other.not_finite
        self.invalid |= other.invalid
        for kind, error in other.errors.items():
            self.errors.setdefault(kind, ErrorSums()).add(error)

    def relative_error(self, kind: Type) -> float:
        """Root mean square of the error over that of the values."""
        return math.sqrt(self.errors[kind].squares / self.squares) if self.squares else 0.0

    def as_json(self) -> dict[str, Any]:
        """The sums for a journal, as JSON has them."""
        return {
            "sums": [self.squares, self.base_squares, self.moved_squares, self.not_finite],
            "errors": {kind.name: [e.squares, e.largest] for kind, e in self.errors.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TensorStats:
        """The inverse of `as_json`."""
        squares, base, moved, not_finite = stored["sums"]
        kinds = {kind.name: kind for kind in Type}
        errors = {kinds[name]: ErrorSums(*error) for name, error in stored["errors"].items()}
        return cls(
            squares=squares,
            base_squares=base,
            moved_squares=moved,
            not_finite=int(not_finite),
            errors=errors,
        )


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """A slab of a tensor in each type that is wanted; `last` if the tensor ends with it."""

    tensor: Tensor
    data: Mapping[Type, Bytes]
    stats: TensorStats
    last: bool


def encode_all(
    weights: Weights,
    tensors: Sequence[Tensor],
    kinds: Mapping[str, Sequence[Type]],
    *,
    n_threads: int,
    importance: Mapping[str, Array] | None = None,
    allow_nonfinite: bool = False,
    ahead: AbstractContextManager[None] | None = None,
) -> Generator[EncodedRows]:
    """Encode tensors slab by slab; yields the slabs in order.

    Args:
        weights: the source of the rows.
        tensors: in the order in which they are written.
        kinds: tensor name → the types that are wanted.
        n_threads: number of threads that encode.
        importance: the weights of an imatrix, by tensor name.
        allow_nonfinite: encode NaN and infinity too, whatever comes of it.
        ahead: what fetches the rows is open while they are read, and closed before the threads that
            wait for them are waited for.

    Raises:
        ConversionError: a value is not finite, or too large for a type; names the tensor.
    """
    importance = importance or {}
    with ThreadPoolExecutor(n_threads, thread_name_prefix="encode") as pool, ahead or nullcontext():
        waiting: deque[Future[EncodedRows]] = deque()
        try:
            for tensor in tensors:
                read, weight = weights.open(tensor, pool), importance.get(tensor.name)
                for start, stop in slabs(tensor.shape, tensor.together):
                    job = (tensor, read, start, stop, kinds[tensor.name], weight)
                    waiting.append(pool.submit(_encode, *job))
                    if len(waiting) > AHEAD * n_threads:
                        yield _checked(waiting.popleft().result(), allow_nonfinite)
            while waiting:
                yield _checked(waiting.popleft().result(), allow_nonfinite)
        finally:
            for future in waiting:
                future.cancel()


def _encode(
    tensor: Tensor,
    read: Read,
    start: int,
    stop: int,
    kinds: Sequence[Type],
    weight: Array | None,
) -> EncodedRows:
    slab = read(start, stop)
    if weight is not None and len(tensor.shape) > 2:
        weight = weight.reshape(-1, tensor.columns)[start:stop]
    rows = slab.rows.reshape(-1, tensor.columns if len(tensor.shape) > 1 else stop - start)
    stats = _measured(slab, rows)
    data = {}
    for kind in kinds:
        data[kind] = _encoded(kind, rows, weight, stop - start if len(tensor.shape) > 2 else 1)
        stats.errors[kind] = error = _error(kind, data[kind], rows)
        if not math.isfinite(error.squares):
            stats.invalid.add(kind)
    return EncodedRows(tensor, data, stats, stop == tensor.shape[0])


def _encoded(kind: Type, rows: Array, weight: Array | None, n_experts: int) -> Bytes:
    """Rows encoded, those of each expert with its own weights."""
    if weight is None or weight.ndim == 1:
        return encode(kind, rows, weight)
    experts = zip(np.split(rows, n_experts), weight, strict=True)
    return np.concatenate([encode(kind, part, its_weight) for part, its_weight in experts])


def _measured(slab: Slab, rows: Array) -> TensorStats:
    stats = TensorStats(squares=squared_norm(rows))
    if not math.isfinite(stats.squares):
        stats.not_finite = int(rows.size - np.isfinite(rows).sum())
    if slab.before is not None:
        known = slab.before.shape[0]
        stats.base_squares = squared_norm(slab.before)
        with np.errstate(invalid="ignore", over="ignore"):
            stats.moved_squares = squared_norm(slab.rows[:known] - slab.before)
    return stats


def _error(kind: Type, data: Bytes, rows: Array) -> ErrorSums:
    if kind is Type.F32:
        return ErrorSums()
    difference = decode(kind, data, rows.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):  # asked for by --allow-nonfinite
        difference -= rows
        squares = squared_norm(difference)
    np.abs(difference, out=difference)
    return ErrorSums(squares, float(difference.max(initial=0.0)))


def _checked(encoded: EncodedRows, allow_nonfinite: bool) -> EncodedRows:
    stats, name = encoded.stats, encoded.tensor.name
    if allow_nonfinite:
        return encoded
    if stats.not_finite:
        raise ConversionError(
            f"{name} has {stats.not_finite} values in a slab that are NaN or infinite: the model "
            "is damaged. --allow-nonfinite converts it nevertheless."
        )
    if stats.invalid:
        kinds = ", ".join(sorted(kind.name for kind in stats.invalid))
        raise ConversionError(
            f"{name} has values that {kinds} cannot hold. "
            "Take BF16 or F32 in place of F16, or give --allow-nonfinite."
        )
    return encoded


def squared_norm(values: Array) -> float:
    """Σ x², row by row in float32, then in float64; not finite if a value is not."""
    if not values.size:
        return 0.0
    rows = values.reshape(-1, values.shape[-1])
    return float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64))
