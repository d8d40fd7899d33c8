"""The head of a GGUF file: keys and tensor infos, and where each tensor's bytes lie.

The order is that of `llama_model_quantize`: keys as they come, then quantization_version and
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
from relay_gguf.gguf_file.header import ALIGNMENT, Info, Keys, Kind, Value, write_head

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
    """A file: its head, and its tensors one behind the other."""

    head: bytes
    slots: tuple[Slot, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return padded(self.slots[-1].offset + self.slots[-1].n_bytes) if self.slots else 0


def lay_out(keys: Keys, tensors: Sequence[tuple[Tensor, Type]]) -> Layout:
    """The file that has these keys and tensors.

    Raises:
        ConversionError: a tensor's type does not divide its rows.
    """
    infos = []
    offset = 0
    for tensor, kind in tensors:
        infos.append(Info(tensor.name, tensor.shape, int(kind), offset))
        offset = padded(offset + tensor_bytes(tensor, kind))
    head = write_head(keys, infos)
    slots = [
        Slot(tensor, kind, len(head) + info.offset, tensor_bytes(tensor, kind))
        for (tensor, kind), info in zip(tensors, infos, strict=True)
    ]
    return Layout(head, tuple(slots))


def split(
    keys: Keys, tensors: Sequence[tuple[Tensor, Type]], max_bytes: int | None
) -> list[Layout]:
    """The one file, or the parts of at most `max_bytes` of tensors each, as llama-gguf-split cuts.

    A tensor is never cut, so a part may be larger where one tensor is. The first part has all
    keys.
    """
    parts: list[list[tuple[Tensor, Type]]] = [[]]
    size = 0
    for tensor, kind in tensors:
        n_bytes = padded(tensor_bytes(tensor, kind))
        if max_bytes is not None and parts[-1] and size + n_bytes > max_bytes:
            parts.append([])
            size = 0
        parts[-1].append((tensor, kind))
        size += n_bytes
    if len(parts) == 1:
        return [lay_out(keys, tensors)]
    counts = (len(parts), len(tensors))
    return [
        lay_out((dict(keys) if number == 0 else {}) | _split_keys(number, *counts), part)
        for number, part in enumerate(parts)
    ]


def part_names(name: str, count: int) -> list[str]:
    """File names of the parts, in llama.cpp's pattern; the name itself where there is one."""
    if count == 1:
        return [name]
    stem = name.removesuffix(".gguf")
    return [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def with_type(keys: Keys, ftype: str) -> Keys:
    """The keys of a file of a type."""
    values = (GGML_QUANT_VERSION, int(FTYPES[ftype]))
    last = {name: Value(value, Kind.UINT32) for name, value in zip(LAST, values, strict=True)}
    return {name: value for name, value in keys.items() if name not in last} | last


def tensor_bytes(tensor: Tensor, kind: Type) -> int:
    """Bytes of a tensor's data."""
    return tensor.size // tensor.columns * row_bytes(kind, tensor.columns)


def padded(offset: int) -> int:
    """The next multiple of the alignment."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def write_skeleton(path: Path, keys: Keys, tensors: Iterable[Tensor]) -> None:
    """A file with the keys and all tensors, their rows cut to two, of zeros: enough for a plan.

    Two, not one: of one row a matrix would count as a vector.
    """
    cut = [Tensor(t.name, (*((2,) * (len(t.shape) - 1)), t.columns)) for t in tensors]
    layout = lay_out(keys, [(tensor, Type.F32) for tensor in cut])
    with path.open("wb") as file:
        file.write(layout.head)
        file.truncate(layout.size)


def collected(writer: GGUFWriter) -> dict[str, Value]:
    """The keys that a writer of the gguf package was given, which never writes a file itself."""
    keys = {}
    for name, given in writer.kv_data[0].items():
        item = None
        if given.type is GGUFValueType.ARRAY:
            item = Kind(given.sub_type or GGUFValueType.get_type(given.value[0]))
        keys[name] = Value(given.value, Kind(given.type), item)
    return keys


def _split_keys(number: int, count: int, n_tensors: int) -> dict[str, Value]:
    kinds = (Kind.UINT16, Kind.UINT16, Kind.INT32)
    values = zip(SPLIT, (number, count, n_tensors), kinds, strict=True)
    return {name: Value(value, kind) for name, value, kind in values}
