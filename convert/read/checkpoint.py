"""A Hugging Face model folder as names, shapes and rows in float32.

Only headers are read at first; rows come one slab at a time, so that memory does not depend on the
size of the model. BF16, F16 and F32 tensors can be read, and those in bitsandbytes' NF4, which
appear with the shape of the matrix that they encode, and those in 8 bits with scales beside them.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np

from relay_gguf.errors import ConversionError

from . import nf4, scaled
from .arrays import Array, Bytes
from .weight_file import DAMAGED, ITEM_SIZE, LocalFile, StoredTensor, WeightFile, read_tensors

FLOATS: Final = ("F32", "F16", "BF16")
READABLE: Final = f"{', '.join(FLOATS)}, NF4, and int8 and FP8 with scales can be read"
NF4_STATE: Final = ".quant_state.bitsandbytes__nf4"
"""bitsandbytes keeps the state of an NF4 tensor beside it, under its name and these endings."""
NF4_COMPANIONS: Final = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", NF4_STATE)
KEPT: Final = 8
"""Tensors whose scales are kept, as their rows are read in slabs."""


@dataclass(frozen=True, slots=True)
class CheckpointTensor:
    """A tensor and its shape; `dtype` is how it is stored, `NF4` for a quantized tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Tensors(Protocol):
    """Tensors under Hugging Face's names: a `Checkpoint` or a `GgufBase`."""

    @property
    def infos(self) -> Mapping[str, CheckpointTensor]:
        """Every tensor, by its name."""

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor, in float32."""

    def check_readable(self, names: Iterable[str]) -> None:
        """Refuse tensors of a type that cannot be read, before hours of work."""

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of files of safetensors, in order."""


class Checkpoint:
    """The tensors of safetensors files."""

    def __init__(self, files: Iterable[Path | WeightFile]) -> None:
        """Read the headers.

        Raises:
            ConversionError: a file is missing, truncated or not in safetensors, or two files have
                a tensor of the same name.
        """
        self._stored: dict[str, StoredTensor] = {}
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()
        for file in files:
            opened = LocalFile(file) if isinstance(file, Path) else file
            for name, tensor in read_tensors(opened).items():
                if name in self._stored:
                    other, this = (Path(f.name).name for f in (self._stored[name].file, opened))
                    raise ConversionError(f"{name} is in {other} and in {this}.")
                self._stored[name] = tensor
        self._states = {
            name.removesuffix(NF4_STATE): self._read_state(name)
            for name in self._stored
            if name.endswith(NF4_STATE)
        }
        self._scales = scaled.scales_of(self._stored)
        parts = {name + part for name in self._states for part in NF4_COMPANIONS}
        parts |= scaled.companions_of(self._stored)
        self.infos: Mapping[str, CheckpointTensor] = {
            name: self._info(name) for name in sorted(self._stored) if name not in parts
        }

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor in float32, (rows, columns); of a vector, (rows,).

        Raises:
            ConversionError: the checkpoint has no tensor of that name, it is a single number, or
                its type cannot be read.
        """
        if name not in self.infos:
            raise ConversionError(f"The checkpoint has no tensor {name}.")
        shape = self.infos[name].shape
        if not shape:
            raise ConversionError(f"{name} is a single number, where a row or a matrix belongs.")
        stop = shape[0] if stop is None else stop
        if name in self._states:
            return self._nf4_rows(name, start, stop)
        stored = self._stored[name]
        if not self._is_readable(self.infos[name]):
            raise ConversionError(f"{name} is stored as {stored.dtype}; {READABLE}.")
        row = int(np.prod(shape[1:], dtype=np.int64)) * ITEM_SIZE[stored.dtype]
        factors = self._keep(name, self._read_factors) if name in self._scales else None
        data = stored.read(start * row, stop * row)
        if factors is not None:
            return scaled.dequantize(data, stored.dtype, factors, shape, start)
        return _floats(data, stored.dtype).reshape(stop - start, *shape[1:])

    def check_readable(self, names: Iterable[str]) -> None:
        """Refuse tensors of a type that cannot be read, before hours of work.

        Raises:
            ConversionError: a tensor is of another type; names it.
        """
        for name in names:
            if name in self.infos and not self._is_readable(self.infos[name]):
                raise ConversionError(f"{name} is stored as {self.infos[name].dtype}; {READABLE}.")

    def _is_readable(self, info: CheckpointTensor) -> bool:
        return info.dtype in (*FLOATS, "NF4") or info.name in self._scales

    def _info(self, name: str) -> CheckpointTensor:
        if name in self._states:
            return CheckpointTensor(name, "NF4", self._states[name].shape)
        stored = self._stored[name]
        if name in self._scales:
            scales = self._stored[self._scales[name]]
            scaled.check_scales(name, stored.dtype, stored.shape, scales.shape)
            if scales.dtype not in FLOATS:
                raise ConversionError(f"The scales of {name} are stored as {scales.dtype}.")
        return CheckpointTensor(name, stored.dtype, stored.shape)

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of files, in order: each with its scales before it."""
        for name in names:
            parts = NF4_COMPANIONS[:-1] if name in self._states else ()
            beside = [name + part for part in parts if name + part in self._stored]
            beside += [self._scales[name]] if name in self._scales else []
            yield from (self._stored[part] for part in (*beside, name))

    def _read_state(self, name: str) -> _State:
        tensor = name.removesuffix(NF4_STATE)
        parts = {part for part in NF4_COMPANIONS if tensor + part in self._stored}
        if not {".quant_map", ".absmax"} <= parts or tensor not in self._stored:
            raise ConversionError(f"{tensor} is quantized, and its scales are missing.")
        nested = {".nested_quant_map", ".nested_absmax"} <= parts
        try:
            fields: dict[str, Any] = json.loads(self._whole(name).tobytes())
            return _State(
                shape=tuple(fields["shape"]),
                blocksize=int(fields["blocksize"]),
                dtype=str(fields["dtype"]),
                offset=np.float32(fields["nested_offset"]) if nested else None,
                nested_blocksize=int(fields["nested_blocksize"]) if nested else 0,
            )
        except (ValueError, KeyError, TypeError) as error:
            damaged = f"{tensor} is quantized, and its state is damaged: {error!r}."
            raise ConversionError(damaged) from error

    def _nf4_rows(self, name: str, start: int, stop: int) -> Array:
        state: nf4.QuantState = self._keep(name, self._read_quant_state)
        data = self._stored[name].read(*nf4.packed_range(state, start, stop))
        return nf4.dequantize_rows(data, state, start, stop)

    def _keep(self, name: str, read: Callable[[str], Any]) -> Any:
        """What is read beside a tensor, kept while its slabs are read."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = read(name)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return self._kept[name]

    def _read_factors(self, name: str) -> Array:
        scales = self._stored[self._scales[name]]
        return _floats(scales.read(), scales.dtype).reshape(scales.shape)

    def _read_quant_state(self, name: str) -> nf4.QuantState:
        said, stored = self._states[name], self._stored[f"{name}.absmax"]
        if said.offset is None:
            absmax = _floats(stored.read(), stored.dtype)
        else:
            absmax = nf4.dequantize_absmax(
                stored.read(),
                nested_map=_floats(self._whole(f"{name}.nested_quant_map"), "F32"),
                nested_absmax=_floats(self._whole(f"{name}.nested_absmax"), "F32"),
                offset=said.offset,
                blocksize=said.nested_blocksize,
            )
        quant_map = _floats(self._whole(f"{name}.quant_map"), "F32")
        return nf4.QuantState(said.shape, said.blocksize, said.dtype, quant_map, absmax)

    def _whole(self, name: str) -> Bytes:
        return self._stored[name].read()


@dataclass(frozen=True, slots=True)
class _State:
    """What a file says of a tensor in NF4; `offset` is None without double quantization."""

    shape: tuple[int, ...]
    blocksize: int
    dtype: str
    offset: np.float32 | None
    nested_blocksize: int


def open_folder(folder: Path) -> Checkpoint:
    """The checkpoint of a model's folder: its single file, or the shards that its index names.

    As in transformers, which takes model.safetensors wherever there is one.

    Raises:
        ConversionError: the folder has no safetensors file, or a shard is missing.
    """
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.exists():  # goes before an index, which an earlier model may have left
        return Checkpoint([single])
    if index.exists():
        shards = indexed(index)
        missing = [shard for shard in shards if not (folder / shard).exists()]
        if missing:
            raise ConversionError(
                f"{folder} lacks {', '.join(missing)}, which {index.name} names. Download again."
            )
        return Checkpoint(folder / shard for shard in shards)
    files = sorted(folder.glob("model*.safetensors"))
    if not files:  # under another name than those that repositories have beside a model
        others = ("consolidated", "adapter_model")
        files = [f for f in sorted(folder.glob("*.safetensors")) if not f.name.startswith(others)]
    if not files:
        hint = ""
        if list(folder.glob("*.bin")):
            hint = " Its .bin files are pickles, which can run code when they are read."
        raise ConversionError(f"{folder} has no .safetensors file.{hint}")
    return Checkpoint(files)


def indexed(index: Path) -> list[str]:
    """The names of the files that an index names."""
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        if any(Path(shard).name != shard for shard in shards):
            raise ValueError("a shard is not a file of its folder")
    except (OSError, *DAMAGED) as error:
        raise ConversionError(f"{index} is not an index of shards: {error!r}.") from error
    return shards


def _floats(data: Bytes, dtype: str) -> Array:
    """Stored bytes as float32. A BF16 is the upper half of a float32."""
    if dtype == "F32":
        return data.view(np.float32)
    if dtype == "F16":
        return data.view(np.float16).astype(np.float32)
    bits = data.view(np.uint16).astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)
