"""What a conversion reads: tensors under llama.cpp's names, row slab by row slab.

A Hugging Face model with or without an adapter, or a GGUF file in F32, F16 or BF16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from gguf import GGML_QUANT_SIZES

from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file import Info, Keys, read_head

from .arch import Llama, permute, place, rope_factors
from .ggml import Type, decode
from .merge import Merged, Slab

FLOATS: Final = (Type.F32, Type.F16, Type.BF16)
"""Types of a GGUF file that can be a source: quantizing what is quantized adds up the errors."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the files to be written; rows are read in groups of `together`."""

    name: str
    shape: tuple[int, ...]
    together: int = 1
    changed: bool = False  # by the adapter

    @property
    def columns(self) -> int:
        """Values of a row."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Its values."""
        return int(np.prod(self.shape, dtype=np.int64))


Read = Callable[[int, int], Slab]
"""Rows [start, stop) of a tensor; several threads may call it."""


class Weights(Protocol):
    """Tensors that can be read in slabs."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All of them, in no particular order."""

    def open(self, tensor: Tensor) -> Read:
        """A tensor for reading."""


class ModelWeights:
    """A Hugging Face model, merged with its adapter on the way."""

    def __init__(self, merged: Merged, llama: Llama) -> None:
        """Place every tensor.

        Raises:
            ConversionError: tensors are unknown, missing, or of another shape than the config's.
        """
        self._merged = merged
        self._llama = llama
        self._placed = {placed.name: placed for placed in place(llama, merged.infos)}
        self.tensors = [
            Tensor(
                placed.name,
                placed.shape,
                llama.head_dim if placed.heads else 1,
                placed.source in merged.changes,
            )
            for placed in self._placed.values()
        ]
        if llama.has_own_frequencies:
            self.tensors.append(Tensor("rope_freqs.weight", (llama.head_dim // 2,)))

    def open(self, tensor: Tensor) -> Read:
        """A tensor's rows in llama.cpp's order."""
        if tensor.name not in self._placed:
            factors = rope_factors(self._llama)
            return lambda start, stop: Slab(factors[start:stop])
        placed = self._placed[tensor.name]
        opened = self._merged.open(placed.source)
        if not placed.heads:
            return opened.read

        def read(start: int, stop: int) -> Slab:
            slab = opened.read(start, stop)
            rows = permute(slab.rows, self._llama.head_dim)
            before = None if slab.before is None else permute(slab.before, self._llama.head_dim)
            return Slab(rows, before)

        return read


class GgufWeights:
    """A GGUF file that is not quantized."""

    def __init__(self, path: Path) -> None:
        """Read its header.

        Raises:
            ConversionError: it cannot be read, is quantized, or is a part of a split one.
            ModelError: it is no GGUF file.
        """
        self._path = path
        try:
            head = read_head(path)
        except FileNotFoundError:
            raise ConversionError(f"There is no file {path}. Check the path.") from None
        except OSError as error:
            raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
        self._infos = {info.name: info for info in head.tensors}
        self._start = head.size
        if "split.count" in head.keys:
            raise ConversionError(f"{path} is a part of a split model: merge its parts first.")
        if not head.tensors:
            raise ConversionError(f"{path} has no tensors: it is a vocabulary without a model.")
        for info in head.tensors:
            if not info.shape or not math.prod(info.shape):
                raise ConversionError(f"{path}: {info.name} is of the shape {info.shape}.")
            if info.ggml_type not in FLOATS:
                known = {int(kind): kind.name for kind in Type}
                kind = known.get(info.ggml_type, f"of the unknown type {info.ggml_type}")
                raise ConversionError(
                    f"{path} is quantized: {info.name} is {kind}. Quantizing again adds up the "
                    "errors: start from the F32, F16 or BF16 file."
                )
        if "general.alignment" in head.keys:
            raise ConversionError(f"{path} has an alignment of its own; that cannot be converted.")
        self.keys: Keys = head.keys
        self.tensors = [Tensor(info.name, info.shape) for info in head.tensors]
        self._check_size()

    def open(self, tensor: Tensor) -> Read:
        """A tensor's rows."""
        info = self._infos[tensor.name]
        offset, kind = self._start + info.offset, Type(info.ggml_type)
        step = _n_bytes(info) // tensor.shape[0]

        def read(start: int, stop: int) -> Slab:
            with self._path.open("rb") as file:  # a mapped file would count as our memory
                file.seek(offset + start * step)
                data = np.frombuffer(file.read((stop - start) * step), dtype=np.uint8)
            columns = tensor.columns if len(tensor.shape) > 1 else stop - start
            return Slab(decode(kind, data, columns).reshape(stop - start, *tensor.shape[1:]))

        return read

    def _check_size(self) -> None:
        size = self._path.stat().st_size
        for info in self._infos.values():
            if self._start + info.offset + _n_bytes(info) > size:
                raise ConversionError(
                    f"{self._path} is truncated: it ends before {info.name} does. Get it again."
                )


def _n_bytes(info: Info) -> int:
    return math.prod(info.shape) * GGML_QUANT_SIZES[Type(info.ggml_type)][1]
