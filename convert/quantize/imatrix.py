"""An importance matrix: a weight for each column of a tensor, from llama.cpp's llama-imatrix.

A quantizer weighs its rounding errors with it. Files are GGUF (sums and counts as tensors) or the
legacy .dat (common/common.cpp and tools/quantize/quantize.cpp of llama.cpp).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGMLQuantizationType

from relay_gguf.convert.read.arrays import Array
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import ValueType, read_header

MAX_NAME: Final = 4096
"""Bytes of the longest tensor name in a .dat: with a longer one the file is not an imatrix."""
BLOCK: Final = "blk."
"""Begins the names of the weights that a matrix has: not the embedding, nor the output head."""
MOST_ROWS: Final = 2**62
"""Rows that a count may tell of; more are taken for as many."""
SUMS: Final = ".in_sum2"
COUNTS: Final = ".counts"


@dataclass(frozen=True, slots=True)
class Imatrix:
    """Weights by tensor name, (columns,) each in float32; and the text that they were computed on.

    `chunks` is the number of batches of text. `rows` are those that went into the matrix that saw
    fewest, experts apart, of which some are seldom used; None where the file does not tell.
    """

    file: str
    weights: Mapping[str, Array]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    rows: int | None = None


def unmade(file: str, datasets: Sequence[str], shapes: Mapping[str, Sequence[int]]) -> Imatrix:
    """An importance matrix that will be made of a model, with weights of 1: enough for a plan.

    Args:
        file: its name.
        datasets: names of the texts.
        shapes: of the model's tensors, by name.
    """
    weights = {
        name: np.ones(shape[-1] * (shape[0] if len(shape) > 2 else 1), np.float32)
        for name, shape in shapes.items()
        if name.startswith(BLOCK) and len(shape) > 1
    }
    return Imatrix(file, weights, tuple(datasets), chunks=1)


def read_imatrix(path: Path) -> Imatrix:
    """Read an importance matrix.

    Raises:
        ConversionError: the file cannot be read, or is not an importance matrix.
        ModelError: it is a GGUF file with a damaged header.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        found = _read_gguf(path) if magic == b"GGUF" else _read_legacy(path)
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, IndexError, struct.error) as error:
        raise ConversionError(f"{path} is not an imatrix: {error}.") from error
    for name, weights in found.weights.items():
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ConversionError(f"{path}: the weights of {name} are not all finite and positive.")
    return found


def _read_gguf(path: Path) -> Imatrix:
    header = read_header(path)
    infos = {info.name: info for info in header.tensors}
    data = np.memmap(path, dtype=np.uint8, mode="r")

    def floats(name: str) -> Array:
        info = infos[name]
        start = header.size + info.offset
        size = 4 * math.prod(info.shape)
        if info.ggml_type != GGMLQuantizationType.F32 or start + size > data.size:
            raise ValueError(f"{name} is not in float32, or ends after the file does")
        return np.array(data[start : start + size]).view(np.float32)

    weights, rows = {}, []
    for name in infos:
        if not name.endswith(SUMS):
            continue
        stem = name.removesuffix(SUMS)
        if stem + COUNTS not in infos:
            raise ValueError(f"{stem} has sums and no counts")
        counts = floats(stem + COUNTS).reshape(-1, 1)
        sums = floats(name).reshape(counts.size, -1)
        if counts.size == 1:
            rows.append(int(min(counts[0, 0], MOST_ROWS)))
        mean = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)
        weights[stem] = mean.reshape(-1)
    if not weights:
        raise ValueError(f"no tensor of it ends in {SUMS}")
    datasets = header.metadata.get("imatrix.datasets")
    chunks = header.metadata.get("imatrix.chunk_count")
    return Imatrix(
        path.name,
        weights,
        tuple(map(str, datasets.value)) if datasets and datasets.kind is ValueType.ARRAY else (),
        int(chunks.value) if chunks and chunks.kind in (ValueType.UINT32, ValueType.INT32) else 0,
        min(rows, default=None),
    )


def _read_legacy(path: Path) -> Imatrix:
    """A .dat: entries of name, calls and sums; in newer files then chunks and data set."""
    data = path.read_bytes()
    position = 0

    def number() -> int:
        nonlocal position
        (value,) = struct.unpack_from("<i", data, position)
        position += 4
        return int(value)

    def take(count: int) -> bytes:
        nonlocal position
        if count < 0 or position + count > len(data):
            raise ValueError("it ends too soon")
        position += count
        return data[position - count : position]

    def text() -> str:
        length = number()
        if not 0 <= length <= MAX_NAME:
            raise ValueError("a tensor has no name")
        return take(length).decode("utf-8", "replace")

    weights: dict[str, Array] = {}
    entries = number()
    if entries < 1:
        raise ValueError("it has no entries")
    for _ in range(entries):
        name = text()
        calls = number()
        values = np.frombuffer(take(4 * number()), dtype="<f4").astype(np.float32)
        weights[name] = values / np.float32(calls) if calls > 0 else values
    chunks = number() if position + 4 <= len(data) else 0
    datasets = (text(),) if position + 4 <= len(data) else ()
    return Imatrix(path.name, weights, datasets, chunks)
