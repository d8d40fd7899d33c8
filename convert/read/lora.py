"""A LoRA's two matrices in memory, and their product added to rows of the base.

The product is one matrix multiplication for each slab. Such a multiplication adds up in an order
that depends on its library, on the machine, and on the number of rows and of threads; so that not a
bit depends on any of them, the matrices are first rounded to a grid on which every sum is exact in
float64, in whatever order. The grid is as fine as float32 for usual ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .adapter import Delta
from .arrays import Array
from .checkpoint import Tensors

Doubles = npt.NDArray[np.float64]

EXACT: Final = 53
"""Bits of a whole number that float64 holds exactly."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A delta as `left` (rows, rank), scale included, times `right` (rank, columns)."""

    left: Doubles
    right: Doubles
    transposed: bool
    magnitude: Array | None

    def add(self, rows: Array, start: int, stop: int) -> Array:
        """Rows [start, stop) of W + s·B·A, rounded to float32 once."""
        with np.errstate(invalid="ignore", over="ignore"):  # the encoder finds and names those
            merged = self.left[start:stop] @ self.right
            merged += rows
            return merged.astype(np.float32)


def load_lora(checkpoint: Tensors, delta: Delta) -> Lora:
    """Read the matrices of one tensor; those of all tensors together grow with the rank."""
    a, b = checkpoint.rows(delta.a), checkpoint.rows(delta.b)
    left, right = (a.T, b.T) if delta.transposed else (b, a)
    magnitude = None if delta.magnitude is None else checkpoint.rows(delta.magnitude).reshape(-1)
    return Lora(*on_grid(delta.scale * left.astype(np.float64), right), delta.transposed, magnitude)


def on_grid(left: Doubles, right: Array) -> tuple[Doubles, Doubles]:
    """Two matrices, rounded so that each sum of their product is exact in float64.

    Each row of `left` becomes whole multiples of a power of two, at most 2^m of them, each column
    of `right` at most 2^n of another. A sum of `rank` products is then a whole number of units, and
    with m + n + log2(rank) <= 53 no more than float64 holds. The error of a value is about
    2^-(m + 1) of the largest in its row: 2^-24 at rank 64, float32's own, and 2^-23 at rank 256.

    A rank with small values in one matrix and large ones in the other would lose them; powers of
    two are moved from `left` to `right` first, which changes no product.
    """
    moved = _exponents(left, axis=0)
    left = np.ldexp(left, -moved)
    right_ = np.ldexp(right.astype(np.float64), moved.reshape(-1, 1))
    bits = EXACT - (left.shape[1] - 1).bit_length()
    m = bits // 2
    return _rounded(left, m, axis=1), _rounded(right_, bits - m, axis=0)


def _rounded(matrix: Doubles, bits: int, axis: int) -> Doubles:
    """Whole multiples, up to 2^bits, of a power of two for each row or column."""
    unit = _exponents(matrix, axis) - bits
    rounded: Doubles = np.ldexp(np.rint(np.ldexp(matrix, -unit)), unit)
    return np.ascontiguousarray(rounded)


def _exponents(matrix: Doubles, axis: int) -> npt.NDArray[np.int32]:
    """The least e with every |value| <= 2^e along an axis; of those that are finite."""
    sizes = np.abs(matrix)
    largest = np.max(sizes, axis=axis, keepdims=True, where=np.isfinite(sizes), initial=0.0)
    exponents: npt.NDArray[np.int32] = np.frexp(largest)[1]
    return exponents
