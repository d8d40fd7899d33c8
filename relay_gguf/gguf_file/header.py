"""The head of a GGUF file, read and written: keys, and which tensors lie where.

The format is that of ggml's docs/gguf.md, version 3, little-endian. A head with a vocabulary of
130,000 tokens takes a moment; the gguf package's reader takes ten seconds, as it makes a NumPy view
of each token.
"""

from __future__ import annotations

import mmap
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
MAX_DIMS: Final = 4


class Kind(IntEnum):
    """The type of a key's value."""

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
    Kind.UINT8: "B",
    Kind.INT8: "b",
    Kind.UINT16: "H",
    Kind.INT16: "h",
    Kind.UINT32: "I",
    Kind.INT32: "i",
    Kind.FLOAT32: "f",
    Kind.BOOL: "?",
    Kind.UINT64: "Q",
    Kind.INT64: "q",
    Kind.FLOAT64: "d",
}
_LENGTH = struct.Struct("<Q")
_WORD = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Value:
    """A key's value; `item` is the type of an array's items."""

    value: Any
    kind: Kind
    item: Kind | None = None


Keys = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Info:
    """A tensor: rows last, as NumPy has shapes; `offset` in bytes behind the head."""

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Head:
    """All that stands before the first tensor; `size` in bytes, padding included."""

    keys: Keys
    tensors: Sequence[Info]
    size: int


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Why a file cannot be read, as an error of ours.

    Raises:
        ModelError: it is not there, is a folder, or its disk or owner keeps it.
    """
    try:
        yield
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Check the path.") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder. Name the .gguf file in it.") from None
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error


def read_head(path: Path) -> Head:
    """The head of a file; tensors are not looked at.

    Raises:
        ModelError: it is no GGUF file, or ends before its head does.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ModelError(f"{path} is not a GGUF file.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse_head(data, path)


def parse_head(data: bytes | mmap.mmap, what: object) -> Head:
    """The head that some bytes begin with; `what` they are of, for errors.

    Raises:
        ModelError: they are of no GGUF file, or end before its head does.
    """
    if data[:4] != MAGIC:
        raise ModelError(f"{what} is not a GGUF file.")
    version = int.from_bytes(data[4:8], "little")
    if len(data) >= 8 and version not in VERSIONS:
        order = "big-endian" if not version & 0xFFFF else f"of GGUF version {version}"
        raise ModelError(f"{what} is {order}, which this program does not read.")
    try:
        return _Reader(data).head()
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        why = str(error) if isinstance(error, _OddError) else "ends too early or makes no sense"
        raise ModelError(f"{what} is damaged: its head {why}. Download it again.") from error


def write_head(keys: Keys, tensors: Iterable[Info], alignment: int = ALIGNMENT) -> bytes:
    """The bytes before the first tensor, padded to the alignment."""
    infos = list(tensors)
    parts = [MAGIC, struct.pack("<IQQ", 3, len(infos), len(keys))]
    for name, value in keys.items():
        parts += [_packed(name), _WORD.pack(value.kind), *_pack(value)]
    for info in infos:
        dims = info.shape[::-1]
        layout = f"<I{len(dims)}QIQ"
        parts += [_packed(info.name)]
        parts += [struct.pack(layout, len(dims), *dims, info.ggml_type, info.offset)]
    head = b"".join(parts)
    return head + bytes(-len(head) % alignment)


def _pack(value: Value) -> list[bytes]:
    if value.kind is Kind.STRING:
        return [_packed(value.value)]
    if value.kind is not Kind.ARRAY:
        return [struct.pack("<" + _CODES[value.kind], value.value)]
    if value.item is None or value.item is Kind.ARRAY:
        raise ValueError("An array's items need a type, which is none.")
    head = [_WORD.pack(value.item), _LENGTH.pack(len(value.value))]
    if value.item is Kind.STRING:
        return [*head, *map(_packed, value.value)]
    return [*head, struct.pack(f"<{len(value.value)}{_CODES[value.item]}", *value.value)]


def _packed(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return _LENGTH.pack(len(data)) + data


class _OddError(ValueError):
    """What a head has that no head has."""


class _Reader:
    """Reads values one behind the other."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._at = 4

    def head(self) -> Head:
        self._number("I")  # the version
        n_tensors, n_keys = self._number("Q"), self._number("Q")
        keys: dict[str, Value] = {}
        for _ in range(n_keys):
            name = self._text()
            keys[name] = self._value(Kind(self._number("I")))
        tensors = [self._info() for _ in range(n_tensors)]
        alignment = ALIGNMENT
        if "general.alignment" in keys:
            alignment = keys["general.alignment"].value
            if not isinstance(alignment, int) or alignment < 1 or alignment % 8:
                raise _OddError(f"has an alignment of {alignment}")
        return Head(keys, tensors, -(-self._at // alignment) * alignment)

    def _info(self) -> Info:
        name = self._text()
        n_dims = self._number("I")
        if n_dims > MAX_DIMS:
            raise _OddError(f"has a tensor of {n_dims} dimensions")
        dims = [self._number("Q") for _ in range(n_dims)]
        return Info(name, tuple(dims[::-1]), self._number("I"), self._number("Q"))

    def _value(self, kind: Kind) -> Value:
        if kind is Kind.STRING:
            return Value(self._text(), kind)
        if kind is not Kind.ARRAY:
            return Value(self._number(_CODES[kind]), kind)
        item, count = Kind(self._number("I")), self._number("Q")
        if count > len(self._data):
            raise _OddError(f"has an array of {count} items")
        if item is Kind.STRING:
            return Value([self._text() for _ in range(count)], kind, item)
        if item is Kind.ARRAY:
            raise _OddError("has an array of arrays")
        layout = struct.Struct(f"<{count}{_CODES[item]}")
        values = list(layout.unpack_from(self._data, self._at))
        self._at += layout.size
        return Value(values, kind, item)

    def _number(self, code: str) -> Any:
        layout = struct.Struct("<" + code)
        (value,) = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return value

    def _text(self) -> str:
        (length,) = _LENGTH.unpack_from(self._data, self._at)
        start = self._at + 8
        if length > len(self._data) - start:
            raise _OddError(f"has a text of {length} bytes")
        self._at = start + int(length)
        return self._data[start : self._at].decode("utf-8", "surrogateescape")
