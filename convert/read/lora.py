"""A LoRA's two matrices in memory, and their product added to rows of the base.

The product is one matrix multiplication for each slab. Such a multiplication adds up in an order
that depends on its library, on the machine, and on the number of rows and of threads; so that not a
bit depends on any of them, the matrices are first rounded to a grid on which every sum is exact in
float64, in whatever order. The grid is as fine as float32 for usual ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .adapter import Delta
from .arrays import Array
from .checkpoint import Tensors

Doubles = npt.NDArray[np.float64]

PIECE: Final = 1 << 16
"""Values that are worked on at once: few enough for a core's cache."""
EXACT: Final = 53
"""Bits of a whole number that float64 holds exactly."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A delta: `left` (rows, rank) · `factors` (1, rank), rounded, times `right` (rank, columns).

    `right` is on its grid already; the rows of `left` come to theirs as they are used, in `bits`.
    """

    left: Array
    factors: Doubles
    bits: int
    right: Doubles
    transposed: bool
    magnitude: Array | None

    def add(self, rows: Array, start: int, stop: int) -> Array:
        """Rows [start, stop) of W + s·B·A, rounded to float32 once."""
        with np.errstate(invalid="ignore", over="ignore"):  # the encoder finds and names those
            left = np.empty((stop - start, self.left.shape[1]))
            for piece in pieces(left.shape):
                np.multiply(self.left[start:stop][piece], self.factors, out=left[piece])
                to_grid(left[piece], self.bits, axis=1)
            product = left @ self.right
            merged = np.empty(rows.shape, np.float32)
            np.add(product, rows, out=merged, casting="same_kind")  # the sum in float64
            return merged


def load_lora(checkpoint: Tensors, delta: Delta) -> Lora:
    """Read the matrices of one tensor; those of all tensors together grow with the rank.

    A rank with small values in one matrix and large ones in the other would be lost on the grid;
    powers of two are moved from `left` to `right`, which changes no product.
    """
    a, b = checkpoint.rows(delta.a), checkpoint.rows(delta.b)
    left, right = (a.T, b.T) if delta.transposed else (b, a)
    magnitude = None if delta.magnitude is None else checkpoint.rows(delta.magnitude).reshape(-1)
    moved = _bounds(left, axis=0)
    bits = EXACT - (left.shape[1] - 1).bit_length()
    grid = np.empty(right.shape)
    np.multiply(right, moved.reshape(-1, 1), out=grid)
    to_grid(grid, bits - bits // 2, axis=0)
    return Lora(left, delta.scale / moved, bits // 2, grid, delta.transposed, magnitude)


def to_grid(matrix: Doubles, bits: int, axis: int) -> None:
    """Round each column (axis 0) or row (1) to whole multiples, up to 2^bits, of a power of two.

    A sum of `rank` products of two such matrices is a whole number of units, and with the bits of
    both and those of the rank no more than 53 it is one that float64 holds: exact, in whatever
    order it was added up. The error of a value is about 2^-(bits + 1) of the largest in its row:
    2^-24 at rank 64, float32's own, and 2^-23 at rank 256.
    """
    # Beside a number of 2^52 units there is no room for less than one: the sum is rounded to it.
    large = _bounds(matrix, axis) * (1.5 * 2.0 ** (EXACT - 1 - bits))
    for piece in pieces(matrix.shape):
        rows, beside = matrix[piece], large[piece] if axis else large
        rows += beside
        rows -= beside


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a matrix that fit into a core's cache together."""
    step = max(1, PIECE // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _bounds(matrix: npt.NDArray[np.floating], axis: int) -> Doubles:
    """A power of two for each row or column that its finite values do not exceed."""
    largest = np.maximum(matrix.max(axis, keepdims=True), -matrix.min(axis, keepdims=True))
    if not np.isfinite(largest).all():
        finite = np.where(np.isfinite(matrix), np.abs(matrix), 0.0)
        largest = finite.max(axis, keepdims=True)
    bounds: Doubles = np.ldexp(1.0, np.frexp(largest)[1])
    return bounds
