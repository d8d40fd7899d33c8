"""A file of safetensors: its header, and any part of its bytes, from the disk or the hub."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from relay_gguf.errors import ConversionError

from .arrays import Bytes

ITEM_SIZE: Final = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1, "I8": 1, "F8_E4M3": 1}
"""Bytes of an element, for the types that are read."""
LENGTH: Final = 8
"""Bytes before the header, which tell its length."""
LONGEST: Final = 100_000_000
"""Bytes of the longest header that safetensors itself reads."""
DAMAGED: Final = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What reading a damaged header or index raises."""


class WeightFile(Protocol):
    """A file whose parts can be read, by several threads at once."""

    @property
    def name(self) -> str:
        """Its name, as messages have it."""

    @property
    def size(self) -> int:
        """Bytes of the file."""

    def read(self, start: int, stop: int) -> Bytes:
        """Bytes [start, stop)."""


class LocalFile:
    """A file on the disk."""

    def __init__(self, path: Path) -> None:
        """Look at its size.

        Raises:
            ConversionError: it cannot be read.
        """
        self._path = path
        self.name = str(path)
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error

    def read(self, start: int, stop: int) -> Bytes:
        """Bytes [start, stop), read: pages of a mapped file would count as our memory.

        Raises:
            ConversionError: the file ends before, or cannot be read.
        """
        try:
            data = np.fromfile(self._path, dtype=np.uint8, count=stop - start, offset=start)
        except OSError as error:
            raise ConversionError(f"Cannot read {self._path}: {error.strerror}.") from error
        if data.size != stop - start:
            raise ConversionError(f"{self._path} became shorter while it was read.")
        return data


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a file has it: its type, its shape, and the place of its bytes."""

    dtype: str
    shape: tuple[int, ...]
    file: WeightFile
    start: int
    stop: int

    def read(self, start: int = 0, stop: int | None = None) -> Bytes:
        """Bytes [start, stop) of the tensor; all of them without a stop."""
        end = self.stop if stop is None else self.start + stop
        return self.file.read(self.start + start, end)


def header_length(file: WeightFile, data: Bytes) -> int:
    """Bytes of a file's header, by its first ones.

    Raises:
        ConversionError: the file is shorter than that.
    """
    length = int.from_bytes(data.tobytes(), "little")
    if file.size < LENGTH + length or data.size < LENGTH or length > LONGEST:
        raise ConversionError(
            f"{file.name} is not a safetensors file: its header should have {length} bytes, and "
            f"the file has {file.size}."
        )
    return length


def read_tensors(file: WeightFile) -> dict[str, StoredTensor]:
    """The tensors of a file by their names, each checked to lie within it.

    Raises:
        ConversionError: the file is truncated or not in safetensors.
    """
    length = header_length(file, file.read(0, min(LENGTH, file.size)))
    begin = LENGTH + length
    try:
        header: Mapping[str, Any] = json.loads(file.read(LENGTH, begin).tobytes().decode("utf-8"))
        places = {
            name: (entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
        tensors = {name: _placed(file, name, begin, *place) for name, place in places.items()}
    except (MemoryError, *DAMAGED) as error:
        raise ConversionError(f"{file.name} is not a safetensors file: {error}.") from error
    _refuse_shared_bytes(file, tensors)
    return tensors


def _refuse_shared_bytes(file: WeightFile, tensors: Mapping[str, StoredTensor]) -> None:
    """Refuse tensors that lie upon each other, as safetensors itself does.

    Raises:
        ConversionError: two of them share bytes.
    """
    in_order = sorted(tensors, key=lambda name: (tensors[name].start, tensors[name].stop))
    for before, name in pairwise(in_order):
        if tensors[name].start < tensors[before].stop:
            raise ConversionError(
                f"{file.name} is damaged: {before} and {name} have the same bytes. Download it "
                "again."
            )


def _placed(
    file: WeightFile, name: str, begin: int, dtype: str, shape: tuple[int, ...], at: int, end: int
) -> StoredTensor:
    """A tensor of a header whose bytes are [at, end) of the data, which begin in the file there.

    Raises:
        ConversionError: it does not lie within the file, or has too few bytes for its shape.
    """
    numbers = (*shape, at, end - at)
    if not isinstance(dtype, str) or not all(
        type(number) is int and 0 <= number < 1 << 63 for number in numbers
    ):
        raise ConversionError(
            f"{file.name} is not a safetensors file: {name} is of the type {dtype!r} and the "
            f"shape {list(shape)!r}."
        )
    if begin + end > file.size:
        raise ConversionError(f"{file.name} is truncated: {name} ends after the file does.")
    expected = math.prod(shape) * ITEM_SIZE.get(dtype, 0)
    if expected not in (0, end - at):
        raise ConversionError(f"{file.name}: {name} of {dtype} {shape} has {end - at} bytes.")
    return StoredTensor(dtype, shape, file, begin + at, begin + end)
