"""Base + adapter → merged rows in float32, a slab at a time.

The sum `W + s·B·A` is taken rank by rank, elementwise, so that not a bit of it depends on how the
matrix is cut into slabs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import numpy as np

from relay_gguf.errors import ConversionError

from . import nf4
from .adapter import Adapter, Change, Delta
from .checkpoint import Array, Checkpoint, TensorInfo

MergeBase = Literal["original", "nf4", "nf4-double"]

LINEARS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What 4-bit training quantizes: the embedding, the head and the norms stay as they are."""
SLAB_BYTES: Final = 16 << 20
"""Float32 bytes of a slab, about: what a pass over a whole tensor holds at once."""
NOTHING: Final = Change()


class Merged:
    """The tensors of base and adapter together. `infos` has those that only the adapter brings."""

    def __init__(
        self, base: Checkpoint, adapter: Adapter | None = None, merge_base: MergeBase = "original"
    ) -> None:
        """Check that the two fit.

        Args:
            base: the model that the adapter was trained on.
            adapter: None leaves the base as it is.
            merge_base: merge into the base's own weights, or into their round trip through NF4,
                with or without double quantization, which is what 4-bit training saw.

        Raises:
            ConversionError: a tensor of the adapter has none in the base, or another shape.
        """
        self._base = base
        self._adapter = adapter
        self._merge_base = merge_base
        self._changes: Mapping[str, Change] = adapter.changes if adapter else {}
        self._scales: tuple[str, Array, Array] | None = None
        self._norms: tuple[str, Array] | None = None
        self.infos: dict[str, TensorInfo] = dict(base.infos)
        for name, change in self._changes.items():
            self.infos[name] = self._fit(name, change)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a merged tensor."""
        stop = self.infos[name].shape[0] if stop is None else stop
        change = self._changes.get(name, NOTHING)
        rows = self._before(name, change, start, stop)
        if change.delta is not None:
            rows = self._add(name, rows, change.delta, start, stop)
        if change.tokens is not None and self._adapter is not None:
            indices, key = change.tokens
            values = self._adapter.checkpoint.rows(key)
            for index, value in zip(indices, values, strict=True):
                if start <= index < stop:
                    rows[index - start] = value
        if change.bias is not None:
            rows = rows + change.bias[start:stop]
        return rows

    def _fit(self, name: str, change: Change) -> TensorInfo:
        """What a changed tensor looks like."""
        info = self._base.infos.get(name)
        if change.replacement is not None and self._adapter is not None:
            stored = self._adapter.checkpoint.infos[change.replacement]
            info = TensorInfo(name, stored.dtype, stored.shape)
        if info is None:
            raise ConversionError(f"The adapter changes {name}, which the base does not have.")
        if change.delta is not None:
            delta = change.delta
            shape = (delta.b.shape[0], delta.a.shape[1])
            shape = shape[::-1] if delta.transposed else shape
            if shape != info.shape:
                raise ConversionError(
                    f"{name} is {info.shape} in the base, {shape} in the adapter."
                )
        return info

    def _before(self, name: str, change: Change, start: int, stop: int) -> Array:
        """The rows that the adapter's differences are added to."""
        if change.replacement is not None and self._adapter is not None:
            return self._adapter.checkpoint.rows(change.replacement, start, stop)
        rows = self._base.rows(name, start, stop)
        if self._merge_base == "original" or not _is_linear(name):
            return rows
        absmax, scales = self._nf4_scales(name)
        columns = int(np.prod(self.infos[name].shape[1:], dtype=np.int64))
        return nf4.round_trip_rows(rows, absmax, scales, start * columns)

    def _nf4_scales(self, name: str) -> tuple[Array, Array]:
        """The scales of a whole matrix: an extra pass over it, kept for its other slabs."""
        if self._scales is None or self._scales[0] != name:
            flat: list[Array] = []
            rest = np.empty(0, dtype=np.float32)
            for start, stop in slabs(self.infos[name].shape):
                values = np.append(rest, self._base.rows(name, start, stop).reshape(-1))
                whole = values.size // nf4.BLOCK * nf4.BLOCK
                flat.append(nf4.block_absmax(values[:whole]))
                rest = values[whole:]
            if rest.size:
                flat.append(nf4.block_absmax(rest))
            absmax = np.concatenate(flat)
            double = self._merge_base == "nf4-double"
            self._scales = (name, absmax, nf4.round_trip_absmax(absmax) if double else absmax)
        return self._scales[1], self._scales[2]

    def _add(self, name: str, rows: Array, delta: Delta, start: int, stop: int) -> Array:
        merged = add_delta(rows, delta, start, stop)
        if delta.magnitude is None:
            return merged
        if not delta.transposed:  # a norm is that of a row
            squares = (merged.astype(np.float64) ** 2).sum(axis=1)
            norms: Array = np.sqrt(squares).astype(np.float32)
            return merged * (delta.magnitude[start:stop] / norms)[:, None]
        return merged * (delta.magnitude / self._column_norms(name, delta))[None, :]

    def _column_norms(self, name: str, delta: Delta) -> Array:
        """Norms of a merged tensor's columns: an extra pass over it, kept for its other slabs."""
        if self._norms is None or self._norms[0] != name:
            squares = np.zeros(self.infos[name].shape[1], dtype=np.float64)
            for start, stop in slabs(self.infos[name].shape):
                rows = self._before(name, self._changes[name], start, stop)
                merged = add_delta(rows, delta, start, stop).astype(np.float64)
                squares += (merged**2).sum(axis=0)
            self._norms = (name, np.sqrt(squares).astype(np.float32))
        return self._norms[1]


def add_delta(rows: Array, delta: Delta, start: int, stop: int) -> Array:
    """Rows [start, stop) of W + s·B·A, rank by rank."""
    merged = rows.copy()
    scale = np.float32(delta.scale)
    left, right = (delta.a.T, delta.b.T) if delta.transposed else (delta.b, delta.a)
    for rank in range(right.shape[0]):
        merged += (scale * left[start:stop, rank])[:, None] * right[rank]
    return merged


def slabs(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Row ranges that cover a tensor."""
    row = 4 * int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, SLAB_BYTES // max(1, row))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def _is_linear(name: str) -> bool:
    return name.endswith(tuple(f".{linear}.weight" for linear in LINEARS))
