"""The tensors that a conversion writes, under llama.cpp's names, read a slab of rows at a time.

They come from a Hugging Face model with or without an adapter, or from a GGUF file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from gguf import GGML_QUANT_SIZES

from relay_gguf.convert.quantize.ggml import Type, can_decode, decode, row_bytes
from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.merge import Merged, Slab
from relay_gguf.convert.read.weight_file import StoredTensor
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata, TensorInfo, read_header
from relay_gguf.gguf_file.name import shard_paths

from .llama import Llama, permute, place, rope_factors

FLOATS: Final = (Type.F32, Type.F16, Type.BF16)
"""Types of which a GGUF file may be the source: quantizing twice adds up the errors."""

SPLIT: Final = "split."
"""Begins the keys that a split model has in each shard."""
FACTORS: Final = "rope_freqs.weight"
"""The divisors of RoPE's frequencies: the one tensor that Hugging Face computes from the config."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the files to be written; its rows are read in groups of `together`."""

    name: str
    shape: tuple[int, ...]
    together: int = 1
    changed: bool = False  # by the adapter

    @property
    def columns(self) -> int:
        """Values in a row."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Values in the tensor."""
        return math.prod(self.shape)


Read = Callable[[int, int], Slab]
"""Reads rows [start, stop) of a tensor; several threads may call it at once."""


class Weights(Protocol):
    """Tensors that can be read in slabs: `ModelWeights` or `GgufWeights`."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All of them, in no particular order."""

    def open(self, tensor: Tensor, pool: Executor | None = None) -> Read:
        """The reader of a tensor; what has to be done before its first row is done in the pool."""

    def stored(self, tensors: Iterable[Tensor]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of files of safetensors, in order."""


class ModelWeights:
    """A Hugging Face model, merged with its adapter on the way."""

    def __init__(self, merged: Merged, llama: Llama, factors: Array | None = None) -> None:
        """Name every tensor.

        Args:
            merged: the model.
            llama: its hyperparameters.
            factors: the divisors of RoPE's frequencies, where a GGUF base has them; else they are
                computed for the models that need them.

        Raises:
            ConversionError: a tensor is unknown, missing, or of another shape than the config's.
        """
        self._merged = merged
        self._head_dim = llama.head_dim
        self._factors = rope_factors(llama) if llama.has_own_frequencies else factors
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
        if self._factors is not None:
            self.tensors.append(Tensor(FACTORS, self._factors.shape))

    def open(self, tensor: Tensor, pool: Executor | None = None) -> Read:
        """The reader of a tensor's rows, in llama.cpp's order."""
        factors = self._factors
        if tensor.name == FACTORS and factors is not None:
            return lambda start, stop: Slab(factors[start:stop])
        placed = self._placed[tensor.name]
        opened = self._merged.open(placed.source, pool)
        if not placed.heads:
            return opened.read

        def read(start: int, stop: int) -> Slab:
            slab = opened.read(start, stop)
            rows = permute(slab.rows, self._head_dim)
            before = None if slab.before is None else permute(slab.before, self._head_dim)
            return Slab(rows, before)

        return read

    def stored(self, tensors: Iterable[Tensor]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of files of safetensors, in order."""
        names = (self._placed[t.name].source for t in tensors if t.name in self._placed)
        return self._merged.stored(names)


class GgufWeights:
    """The tensors of a GGUF file, or of all shards of a split one."""

    def __init__(self, path: Path, *, allow_requantize: bool = False) -> None:
        """Read its header, or those of all shards.

        Args:
            path: the file, or a shard.
            allow_requantize: accept a file that is quantized.

        Raises:
            ConversionError: the file is quantized or truncated, lacks a shard, or has tensors that
                cannot be read.
            ModelError: the file does not exist, or is not a GGUF file.
        """
        self.paths = tuple(_shards(path))
        self._infos: dict[str, TensorInfo] = {}
        self._places: dict[str, tuple[Path, int]] = {}  # file, and where its tensors begin
        headers = [read_header(shard) for shard in self.paths]
        for shard, header in zip(self.paths, headers, strict=True):
            if "general.alignment" in header.metadata:
                raise ConversionError(
                    f"{shard} has an alignment of its own; that cannot be converted."
                )
            for info in header.tensors:
                if info.name in self._infos:
                    other = self._places[info.name][0].name
                    raise ConversionError(f"{info.name} is in {other} and in {shard.name}.")
                self._infos[info.name] = info
                self._places[info.name] = shard, header.size
                if not info.shape or not math.prod(info.shape):
                    raise ConversionError(f"{shard}: {info.name} is of the shape {info.shape}.")
                self._check_type(shard, info, allow_requantize)
        if not self._infos:
            raise ConversionError(f"{path} has no tensors: it is a vocabulary without a model.")
        found = headers[0].metadata
        self.metadata: Metadata = {key: found[key] for key in found if not key.startswith(SPLIT)}
        self.tensors = [Tensor(info.name, info.shape) for info in self._infos.values()]
        self._check_size()

    @property
    def quantized_as(self) -> str | None:
        """The quantized type that most of its values have, `Q4_K`; None if it is not quantized."""
        sizes: Counter[str] = Counter()
        for info in self._infos.values():
            sizes[Type(info.ggml_type).name] += math.prod(info.shape)
        names = [kind.name for kind in FLOATS]
        return next((kind for kind, _ in sizes.most_common() if kind not in names), None)

    def type_of(self, tensor: Tensor) -> Type:
        """The type that a tensor is stored as."""
        return Type(self._infos[tensor.name].ggml_type)

    def open(self, tensor: Tensor, pool: Executor | None = None) -> Read:
        """The reader of a tensor's rows."""
        info = self._infos[tensor.name]
        path, start_of_data = self._places[tensor.name]
        offset, kind = start_of_data + info.offset, Type(info.ggml_type)
        step = _n_bytes(info) // tensor.shape[0]

        def read(start: int, stop: int) -> Slab:
            with path.open("rb") as file:  # a mapped file would count as our memory
                file.seek(offset + start * step)
                data = np.frombuffer(file.read((stop - start) * step), dtype=np.uint8)
            columns = tensor.columns if len(tensor.shape) > 1 else stop - start
            return Slab(decode(kind, data, columns).reshape(stop - start, *tensor.shape[1:]))

        return read

    def stored(self, tensors: Iterable[Tensor]) -> Iterator[StoredTensor]:
        """Nothing: the files are not safetensors."""
        return iter(())

    def _check_type(self, path: Path, info: TensorInfo, allow_requantize: bool) -> None:
        if info.ggml_type in FLOATS:
            return
        known = {int(kind): kind for kind in Type}
        kind = known.get(info.ggml_type)
        if kind is None or not can_decode(kind) or len(info.shape) < 2:
            name = f"of the unknown type {info.ggml_type}" if kind is None else kind.name
            raise ConversionError(f"{path}: {info.name} is {name}, which cannot be read.")
        if not allow_requantize:
            raise ConversionError(
                f"{path} is quantized: {info.name} is {kind.name}. Quantizing again adds up "
                "the errors: take the F32, F16 or BF16 file, or give --allow-requantize."
            )
        row_bytes(kind, info.shape[-1])

    def _check_size(self) -> None:
        sizes = {path: path.stat().st_size for path in self.paths}
        for name, info in self._infos.items():
            path, start = self._places[name]
            if start + info.offset + _n_bytes(info) > sizes[path]:
                raise ConversionError(
                    f"{path} is truncated: it ends before {info.name} does. Download again."
                )


def _shards(path: Path) -> list[Path]:
    """The files of a model, in order, whichever of them is named.

    Raises:
        ConversionError: a shard is missing.
        ModelError: the file does not exist, or is not a GGUF file.
    """
    count = read_header(path).metadata.get(f"{SPLIT}count")
    if count is None:
        return [path]
    found = shard_paths(path)
    if count.value != len(found):
        raise ConversionError(
            f"{path} is a shard of a split model of {count.value} files, and its name does not "
            "tell the others. Give it back its name, NAME-00001-of-00002.gguf."
        )
    missing = [shard.name for shard in found if not shard.exists()]
    if missing:
        raise ConversionError(f"{path} lacks {', '.join(missing)}. Download again.")
    return found


def _n_bytes(info: TensorInfo) -> int:
    block, size = GGML_QUANT_SIZES[Type(info.ggml_type)]
    return math.prod(info.shape) // block * size
