"""A LoRA's two matrices in memory, and their product added to rows of the base.

The sum `W + s·B·A` is taken rank by rank, elementwise, so that not a bit of it depends on how the
matrix is cut into slabs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adapter import Delta
from .arrays import Array
from .checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Lora:
    """A delta as `left` (rows, rank), scale included, times `right` (rank, columns)."""

    left: Array
    right: Array
    transposed: bool
    magnitude: Array | None

    def add(self, rows: Array, start: int, stop: int) -> Array:
        """Rows [start, stop) of W + s·B·A, rank by rank."""
        merged = rows.copy()
        product = np.empty_like(merged)
        for rank, row in enumerate(self.right):
            np.multiply(self.left[start:stop, rank][:, None], row, out=product)
            merged += product
        return merged


def load_lora(checkpoint: Checkpoint, delta: Delta) -> Lora:
    """Read the matrices of one tensor; those of all tensors together grow with the rank."""
    a, b = checkpoint.rows(delta.a), checkpoint.rows(delta.b)
    left, right = (a.T, b.T) if delta.transposed else (b, a)
    magnitude = None if delta.magnitude is None else checkpoint.rows(delta.magnitude).reshape(-1)
    scaled = np.float32(delta.scale) * left
    return Lora(scaled, np.ascontiguousarray(right), delta.transposed, magnitude)
