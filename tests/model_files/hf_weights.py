"""Safetensors files whose tensors come in row slabs: no tensor need fit in memory."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hf_tokenizers import dump_json
from numpy.typing import NDArray

Array = NDArray[np.float32]
Rows = Callable[[int, int], Array]
"""Rows [start, stop) of a tensor."""

BYTES = {"F32": 4, "F16": 2, "BF16": 2}
NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SLAB_VALUES = 1 << 22


@dataclass(frozen=True)
class Tensor:
    """A tensor to be written: how it is stored, and where its values come from."""

    dtype: str
    shape: tuple[int, ...]
    rows: Rows

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * BYTES[self.dtype]


def noise(seed: int, name: str, shape: tuple[int, ...], scale: float, mean: float = 0.0) -> Rows:
    """Values around `mean` with the standard deviation `scale`.

    They are sums of two uniform ones and depend on `seed` and `name`, not on how they are cut.
    """
    columns = math.prod(shape[1:])
    factor = np.float32(scale * math.sqrt(6) / 65536)

    def rows(start: int, stop: int) -> Array:
        first = start * columns
        bits = np.random.PCG64([seed, zlib.crc32(name.encode())]).advance(first // 2)
        count = (stop - start) * columns
        halves = bits.random_raw(count // 2 + 1).view(np.uint16).astype(np.float32)
        values = halves[0::2] + halves[1::2] - np.float32(65535)
        values = values[first % 2 :][:count] * factor + np.float32(mean)
        return values.reshape(stop - start, *shape[1:])

    return rows


def slices(values: Array) -> Rows:
    """The rows of a tensor that is in memory."""
    return lambda start, stop: values[start:stop]


def _stored(values: Array, dtype: str) -> bytes:
    """Values as they are in a file. BF16 is rounded to nearest, ties to even; none is NaN."""
    if dtype != "BF16":
        return values.astype(np.dtype(NAMES[dtype]).newbyteorder("<")).tobytes()
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a file as the safetensors library orders it: wide types first, then by name."""
    names = sorted(tensors, key=lambda name: (-BYTES[tensors[name].dtype], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        tensor = tensors[name]
        place = [offset, offset := offset + tensor.nbytes]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": place}
    blob = json.dumps(header).encode()
    blob += b" " * (-len(blob) % 8)
    with path.open("wb") as file:
        file.write(len(blob).to_bytes(8, "little") + blob)
        for name in names:
            tensor = tensors[name]
            step = max(1, SLAB_VALUES // math.prod(tensor.shape[1:]))
            for start in range(0, tensor.shape[0], step):
                stop = min(start + step, tensor.shape[0])
                file.write(_stored(tensor.rows(start, stop), tensor.dtype))


def write_shards(folder: Path, shards: Sequence[Mapping[str, Tensor]]) -> None:
    """Write a model's safetensors files, and their index if there are more than one."""
    if len(shards) == 1:
        write_safetensors(folder / "model.safetensors", shards[0])
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, shard)
        weight_map |= dict.fromkeys(shard, file)
    size = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    dump_json(folder / "model.safetensors.index.json", index)
