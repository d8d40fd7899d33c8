"""The layout of a GGUF file: its header, and the place of each tensor's bytes.

The order is that of `llama_model_quantize`: metadata as it comes, then quantization_version and
file_type; tensors by layer and name, each at a multiple of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gguf import GGML_QUANT_VERSION, GGUFValueType, GGUFWriter

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.convert.quantize.ggml import Type, row_bytes
from relay_gguf.gguf_file.header import (
    ALIGNMENT,
    Metadata,
    TensorInfo,
    Value,
    ValueType,
    pack_header,
)

LAST: Final = ("general.quantization_version", "general.file_type")
SPLIT: Final = ("split.no", "split.count", "split.tensors.count")


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor's place in a file: `offset` bytes into it, `n_bytes` long."""

    tensor: Tensor
    kind: Type
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A file: the bytes of its header, and the slots of its tensors in order."""

    header: bytes
    slots: tuple[Slot, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return padded(self.slots[-1].offset + self.slots[-1].n_bytes) if self.slots else 0


def lay_out(metadata: Metadata, tensors: Sequence[tuple[Tensor, Type]]) -> Layout:
    """The layout of a file with this metadata and these tensors.

    Raises:
        ConversionError: a tensor's rows are not whole numbers of its type's blocks.
    """
    infos = []
    offset = 0
    for tensor, kind in tensors:
        infos.append(TensorInfo(tensor.name, tensor.shape, int(kind), offset))
        offset = padded(offset + tensor_bytes(tensor, kind))
    header = pack_header(metadata, infos)
    slots = [
        Slot(tensor, kind, len(header) + info.offset, tensor_bytes(tensor, kind))
        for (tensor, kind), info in zip(tensors, infos, strict=True)
    ]
    return Layout(header, tuple(slots))


def split(
    metadata: Metadata, tensors: Sequence[tuple[Tensor, Type]], max_bytes: int | None
) -> list[Layout]:
    """The layout of a single file, or of shards with at most `max_bytes` of tensors each.

    Files are split as llama-gguf-split does it. A tensor is never cut, so a shard of one tensor may
    be larger. The first shard has all the metadata.
    """
    shards: list[list[tuple[Tensor, Type]]] = [[]]
    size = 0
    for tensor, kind in tensors:
        n_bytes = padded(tensor_bytes(tensor, kind))
        if max_bytes is not None and shards[-1] and size + n_bytes > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append((tensor, kind))
        size += n_bytes
    if len(shards) == 1:
        return [lay_out(metadata, tensors)]
    counts = (len(shards), len(tensors))
    return [
        lay_out((dict(metadata) if number == 0 else {}) | _split_metadata(number, *counts), shard)
        for number, shard in enumerate(shards)
    ]


def shard_names(name: str, count: int) -> list[str]:
    """File names of `count` shards, in llama.cpp's pattern; of a single file, `name` itself."""
    if count == 1:
        return [name]
    stem = name.removesuffix(".gguf")
    return [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def with_type(metadata: Metadata, ftype: str) -> Metadata:
    """The metadata of a file of a type, with that type in it."""
    values = (GGML_QUANT_VERSION, int(FTYPES[ftype]))
    last = {key: Value(value, ValueType.UINT32) for key, value in zip(LAST, values, strict=True)}
    return {key: value for key, value in metadata.items() if key not in last} | last


def tensor_bytes(tensor: Tensor, kind: Type) -> int:
    """Bytes of a tensor's data."""
    return tensor.size // tensor.columns * row_bytes(kind, tensor.columns)


def padded(offset: int) -> int:
    """The next multiple of the alignment, from `offset` on."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def write_skeleton(path: Path, metadata: Metadata, tensors: Iterable[Tensor]) -> None:
    """Write a file with all tensors cut to two rows of zeros: enough for llama.cpp to plan types.

    Two rows, since a matrix of one row would count as a vector.
    """
    cut = [Tensor(t.name, (*((2,) * (len(t.shape) - 1)), t.columns)) for t in tensors]
    layout = lay_out(metadata, [(tensor, Type.F32) for tensor in cut])
    with path.open("wb") as file:
        file.write(layout.header)
        file.truncate(layout.size)


def metadata_of(writer: GGUFWriter) -> dict[str, Value]:
    """The metadata given to a writer of the gguf package, which here never writes a file itself."""
    metadata = {}
    for key, given in writer.kv_data[0].items():
        item = None
        if given.type is GGUFValueType.ARRAY:
            item = ValueType(given.sub_type or GGUFValueType.get_type(given.value[0]))
        metadata[key] = Value(given.value, ValueType(given.type), item)
    return metadata


def _split_metadata(number: int, count: int, n_tensors: int) -> dict[str, Value]:
    types = (ValueType.UINT16, ValueType.UINT16, ValueType.INT32)
    values = zip(SPLIT, (number, count, n_tensors), types, strict=True)
    return {key: Value(value, its_type) for key, value, its_type in values}
