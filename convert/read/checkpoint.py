"""A Hugging Face model folder as names, shapes and rows in float32.

Only headers are read at first; rows come one slab at a time, so that memory does not depend on the
size of the model. BF16, F16 and F32 tensors can be read, and those in bitsandbytes' NF4, which
appear with the shape of the matrix that they encode, and those in 8 bits with scales beside them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from gguf.utility import LocalTensor, SafetensorsLocal

from relay_gguf.errors import ConversionError

from . import nf4, scaled
from .arrays import Array, Bytes

ITEM_SIZE: Final = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1, "I8": 1, "F8_E4M3": 1}
"""Bytes of an element, for the types that are read."""
FLOATS: Final = ("F32", "F16", "BF16")
READABLE: Final = f"{', '.join(FLOATS)}, NF4, and int8 and FP8 with scales can be read"
NF4_STATE: Final = ".quant_state.bitsandbytes__nf4"
"""bitsandbytes keeps the state of an NF4 tensor beside it, under its name and these endings."""
NF4_COMPANIONS: Final = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", NF4_STATE)


DAMAGED: Final = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What reading a damaged header or index raises."""


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


class Checkpoint:
    """The tensors of safetensors files."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the headers.

        Raises:
            ConversionError: a file is missing, truncated or not in safetensors, or two files have
                a tensor of the same name.
        """
        self._stored: dict[str, LocalTensor] = {}
        for file in files:
            for name, tensor in _header(file).items():
                if name in self._stored:
                    other = self._stored[name].data_range.filename.name
                    raise ConversionError(f"{name} is in {other} and in {file.name}.")
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

    @classmethod
    def of_headers(cls, headers: Mapping[str, tuple[str, tuple[int, ...]]]) -> Checkpoint:
        """A checkpoint of which only names, types and shapes are known: enough for a plan.

        Raises:
            ConversionError: it is in NF4, whose shapes are stored among the weights.
        """
        if any(name.endswith(NF4_STATE) for name in headers):
            raise ConversionError(
                "The plan of a 4-bit model needs its weights: download it, and name the folder."
            )
        outline = cls([])
        outline._scales = scaled.scales_of(headers)
        names = sorted(headers.keys() - scaled.companions_of(headers))
        outline.infos = {name: CheckpointTensor(name, *headers[name]) for name in names}
        return outline

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor in float32, (rows, columns); of a vector, (rows,).

        Raises:
            ConversionError: the checkpoint has no tensor of that name, or its type cannot be read.
        """
        if name not in self.infos:
            raise ConversionError(f"The checkpoint has no tensor {name}.")
        shape = self.infos[name].shape
        stop = shape[0] if stop is None else stop
        if name in self._states:
            return self._nf4_rows(name, start, stop)
        stored = self._stored[name]
        if not self._is_readable(self.infos[name]):
            raise ConversionError(f"{name} is stored as {stored.dtype}; {READABLE}.")
        row = int(np.prod(shape[1:], dtype=np.int64)) * ITEM_SIZE[stored.dtype]
        data = _bytes(stored, start * row, stop * row)
        if name in self._scales:
            scales = self._stored[self._scales[name]]
            factors = _floats(_whole(scales), scales.dtype).reshape(scales.shape)
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

    def _read_state(self, name: str) -> nf4.QuantState:
        tensor = name.removesuffix(NF4_STATE)
        try:
            fields: dict[str, Any] = json.loads(_whole(self._stored[name]).tobytes())
            return self._nf4_state(tensor, fields)
        except (ValueError, KeyError, TypeError) as error:
            damaged = f"{tensor} is quantized, and its state is damaged: {error!r}."
            raise ConversionError(damaged) from error

    def _nf4_state(self, tensor: str, fields: Mapping[str, Any]) -> nf4.QuantState:
        parts = {part: self._stored.get(tensor + part) for part in NF4_COMPANIONS}
        quant_map, absmax = parts[".quant_map"], parts[".absmax"]
        if quant_map is None or absmax is None or tensor not in self._stored:
            raise ConversionError(f"{tensor} is quantized, and its scales are missing.")
        values = _floats(_whole(quant_map), "F32")
        scales = _whole(absmax)
        nested_map, nested_absmax = parts[".nested_quant_map"], parts[".nested_absmax"]
        if nested_map is None or nested_absmax is None:
            absmax_values = _floats(scales, absmax.dtype)
        else:
            absmax_values = nf4.dequantize_absmax(
                scales,
                nested_map=_floats(_whole(nested_map), "F32"),
                nested_absmax=_floats(_whole(nested_absmax), "F32"),
                offset=np.float32(fields["nested_offset"]),
                blocksize=int(fields["nested_blocksize"]),
            )
        return nf4.QuantState(
            shape=tuple(fields["shape"]),
            blocksize=int(fields["blocksize"]),
            dtype=str(fields["dtype"]),
            quant_map=values,
            absmax=absmax_values,
        )

    def _nf4_rows(self, name: str, start: int, stop: int) -> Array:
        state = self._states[name]
        packed = self._stored[name].mmap_bytes()
        return nf4.dequantize_rows(packed, state, start, stop)


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
        shards = _shards(index)
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


def _shards(index: Path) -> list[str]:
    """The names of the files that an index names."""
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        if any(Path(shard).name != shard for shard in shards):
            raise ValueError("a shard is not a file of its folder")
    except (OSError, *DAMAGED) as error:
        raise ConversionError(f"{index} is not an index of shards: {error!r}.") from error
    return shards


def _header(file: Path) -> dict[str, LocalTensor]:
    """The tensors of a file, each checked to lie within it."""
    try:
        tensors: dict[str, LocalTensor] = SafetensorsLocal(file).tensors
        size = file.stat().st_size
    except OSError as error:
        raise ConversionError(f"Cannot read {file}: {error.strerror}.") from error
    except (MemoryError, *DAMAGED) as error:
        raise ConversionError(f"{file} is not a safetensors file: {error}.") from error
    for name, tensor in tensors.items():
        place = tensor.data_range
        numbers = (*tensor.shape, place.offset, place.size)
        if not isinstance(tensor.dtype, str) or not all(
            type(number) is int and 0 <= number < 1 << 63 for number in numbers
        ):
            raise ConversionError(
                f"{file} is not a safetensors file: {name} is of the type {tensor.dtype!r} and the "
                f"shape {list(tensor.shape)!r}."
            )
        if place.offset + place.size > size:
            raise ConversionError(f"{file} is truncated: {name} ends after the file does.")
        expected = math.prod(tensor.shape) * ITEM_SIZE.get(tensor.dtype, 0)
        if expected not in (0, place.size):
            raise ConversionError(
                f"{file}: {name} of {tensor.dtype} {tensor.shape} has {place.size} bytes."
            )
    return tensors


def _bytes(tensor: LocalTensor, start: int, stop: int) -> Bytes:
    """Bytes [start, stop) of a tensor, read: pages of a mapped file would count as our memory."""
    place = tensor.data_range
    count, offset = stop - start, place.offset + start
    data = np.fromfile(place.filename, dtype=np.uint8, count=count, offset=offset)
    if data.size != count:
        raise ConversionError(f"{place.filename} became shorter while it was read.")
    return data


def _whole(tensor: LocalTensor) -> Bytes:
    return _bytes(tensor, 0, tensor.data_range.size)


def _floats(data: Bytes, dtype: str) -> Array:
    """Stored bytes as float32. A BF16 is the upper half of a float32."""
    if dtype == "F32":
        return data.view(np.float32)
    if dtype == "F16":
        return data.view(np.float16).astype(np.float32)
    bits = data.view(np.uint16).astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)
