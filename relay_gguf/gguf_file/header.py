"""The header of a GGUF file, read and written: its metadata, and where each tensor lies.

The format is that of ggml's docs/gguf.md, version 3, little-endian. A header with a vocabulary of
130,000 tokens takes a moment; the gguf package's reader takes ten seconds, as it makes a NumPy view
of each token.
"""

from __future__ import annotations

import mmap
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import ModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
ALIGNMENT: Final = 32
ALIGNMENTS: Final = tuple(1 << power for power in range(3, 21))
"""What a file may align its tensors to (general.alignment), in bytes: the format wants a multiple
of 8, llama.cpp a power of two, and the padding of more than a megabyte fills memory and disk."""
MAX_DIMS: Final = 4
MAX_NAME: Final = 63
"""Bytes of a tensor's name."""


class ValueType(IntEnum):
    """The type of a metadata value, by its number in the format (gguf_metadata_value_type)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_CODES: Final = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "?",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}
_LENGTH = struct.Struct("<Q")
_WORD = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Value:
    """A metadata value and its type; `item` is the type of an array's items."""

    value: Any
    kind: ValueType
    item: ValueType | None = None


Metadata = Mapping[str, Value]
"""The key-value pairs of a file, `general.name` → `Relay`, in the order of the file."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor: its shape as NumPy has it, rows first, and where its data begins.

    `ggml_type` is the number of a GGMLQuantizationType, maybe of an unknown one; `offset` counts
    bytes from the end of the header.
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything before the first tensor's data; `size` in bytes, padding included."""

    metadata: Metadata
    tensors: Sequence[TensorInfo]
    size: int


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the system's error on reading a file into one that says what to do.

    Raises:
        ModelError: the file does not exist, is a folder or a pipe, or cannot be read.
    """
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
            raise ModelError(
                f"{path} is a pipe or a device, and a model is read here and there: save it as a "
                "file first."
            )
        yield
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Check the path.") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder. Name the .gguf file in it.") from None
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error


def read_header(path: Path) -> Header:
    """The header of a file; the tensors' data is not read.

    Raises:
        ModelError: the file does not exist or cannot be read, is not a GGUF file, or ends within
            its header.
    """
    with readable(path), path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ModelError(f"{path} is not a GGUF file.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse_header(data, path)


def parse_header(data: bytes | mmap.mmap, name: object) -> Header:
    """The header at the beginning of some bytes.

    Args:
        data: the first bytes of a file, or all of them.
        name: of the file, for errors.

    Raises:
        ModelError: the bytes are not those of a GGUF file, or end within the header.
    """
    if data[:4] != MAGIC:
        raise ModelError(f"{name} is not a GGUF file.")
    version = int.from_bytes(data[4:8], "little")
    if len(data) >= 8 and version not in VERSIONS:
        order = "big-endian" if not version & 0xFFFF else f"of GGUF version {version}"
        raise ModelError(f"{name} is {order}, which this program does not read.")
    try:
        return _Reader(data).header()
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        why = (
            str(error) if isinstance(error, _MalformedError) else "ends too early or makes no sense"
        )
        raise ModelError(f"{name} is damaged: its header {why}. Download it again.") from error


def pack_header(
    metadata: Metadata, tensors: Iterable[TensorInfo], alignment: int = ALIGNMENT
) -> bytes:
    """The bytes of a header, padded with zeros to a multiple of `alignment`.

    Raises:
        ValueError: the alignment is none of `ALIGNMENTS`.
    """
    if alignment not in ALIGNMENTS:
        raise ValueError(f"An alignment of {alignment} bytes cannot be written.")
    infos = list(tensors)
    parts = [MAGIC, struct.pack("<IQQ", 3, len(infos), len(metadata))]
    for name, value in metadata.items():
        parts += [_packed(name), _WORD.pack(value.kind), *_pack(value)]
    for info in infos:
        dims = info.shape[::-1]
        layout = f"<I{len(dims)}QIQ"
        parts += [_packed(info.name)]
        parts += [struct.pack(layout, len(dims), *dims, info.ggml_type, info.offset)]
    header = b"".join(parts)
    return header + bytes(-len(header) % alignment)


def _pack(value: Value) -> list[bytes]:
    if value.kind is ValueType.STRING:
        return [_packed(value.value)]
    if value.kind is not ValueType.ARRAY:
        return [struct.pack("<" + _CODES[value.kind], value.value)]
    if value.item is None or value.item is ValueType.ARRAY:
        raise ValueError("The items of an array need a type, which is not an array itself.")
    start = [_WORD.pack(value.item), _LENGTH.pack(len(value.value))]
    if value.item is ValueType.STRING:
        return [*start, *map(_packed, value.value)]
    return [*start, struct.pack(f"<{len(value.value)}{_CODES[value.item]}", *value.value)]


def _packed(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return _LENGTH.pack(len(data)) + data


class _MalformedError(ValueError):
    """The header has a value that the format does not allow; the text follows "its header"."""


class _Reader:
    """Reads the values of a header in their order."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._at = 4

    def header(self) -> Header:
        self._number("I")  # the version
        n_tensors, n_keys = self._number("Q"), self._number("Q")
        metadata: dict[str, Value] = {}
        for _ in range(n_keys):
            name = self._text()
            if name in metadata:
                raise _MalformedError(f"has {name[:MAX_NAME]!r} twice")
            metadata[name] = self._value(ValueType(self._number("I")))
        tensors = [self._info() for _ in range(n_tensors)]
        if len({info.name for info in tensors}) < len(tensors):
            raise _MalformedError("has a tensor twice")
        alignment = ALIGNMENT
        if given := metadata.get("general.alignment"):
            alignment = given.value
            if given.kind is not ValueType.UINT32 or alignment not in ALIGNMENTS:
                raise _MalformedError(f"has an alignment of {alignment}")
        return Header(metadata, tensors, -(-self._at // alignment) * alignment)

    def _info(self) -> TensorInfo:
        name = self._text()
        if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
            raise _MalformedError(f"has a tensor whose name is longer than {MAX_NAME} bytes")
        n_dims = self._number("I")
        if n_dims > MAX_DIMS:
            raise _MalformedError(f"has a tensor of {n_dims} dimensions")
        dims = [self._number("Q") for _ in range(n_dims)]
        return TensorInfo(name, tuple(dims[::-1]), self._number("I"), self._number("Q"))

    def _value(self, kind: ValueType) -> Value:
        if kind is ValueType.STRING:
            return Value(self._text(), kind)
        if kind is not ValueType.ARRAY:
            return Value(self._number(_CODES[kind]), kind)
        item, count = ValueType(self._number("I")), self._number("Q")
        if count > len(self._data):
            raise _MalformedError(f"has an array of {count} items")
        if item is ValueType.STRING:
            return Value(self._texts(count), kind, item)
        if item is ValueType.ARRAY:
            raise _MalformedError("has an array of arrays")
        layout = struct.Struct(f"<{count}{_CODES[item]}")
        values = list(layout.unpack_from(self._data, self._at))
        self._at += layout.size
        return Value(values, kind, item)

    def _texts(self, count: int) -> list[str]:
        """The loop is kept short, as vocabularies and their merges are most of a header."""
        data, at, size, unpack = self._data, self._at, len(self._data), _LENGTH.unpack_from
        texts = []
        for _ in range(count):
            start = at + 8
            if start > size or (at := start + unpack(data, at)[0]) > size:
                self._at = start - 8
                self._text()  # says what is wrong
            texts.append(data[start:at].decode("utf-8", "surrogateescape"))
        self._at = at
        return texts

    def _number(self, code: str) -> Any:
        layout = struct.Struct("<" + code)
        (value,) = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return value

    def _text(self) -> str:
        (length,) = _LENGTH.unpack_from(self._data, self._at)
        start = self._at + 8
        if length > len(self._data) - start:
            raise _MalformedError(f"has a text of {length} bytes")
        self._at = start + int(length)
        return self._data[start : self._at].decode("utf-8", "surrogateescape")
