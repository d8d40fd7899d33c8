"""NF4 as bitsandbytes computes it: dequantization, and the round trip of a matrix.

QLoRA (Dettmers et al. 2023, arXiv:2305.14314) trains an adapter on weights in NF4: blocks of 64
values share a scale, the largest magnitude among them; with double quantization the scales are
8-bit themselves, in blocks of 256. Training multiplied with the result of this round trip, in
bfloat16, so a merge into that result keeps what the adapter learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from .arrays import Array, Bytes

BLOCK: Final = 64
NESTED_BLOCK: Final = 256
TINY: Final = np.float32(1e-38)
"""bitsandbytes divides by at least this, so that a block of zeros stays zeros."""

# The quantiles of a normal distribution, scaled to [-1, 1]; appendix E of the paper.
CODES: Final = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class QuantState:
    """The state that dequantizes an NF4 tensor's bytes (bitsandbytes' QuantState).

    `quant_map` has the 16 values that codes stand for, `absmax` a float32 scale for each block;
    `dtype` is that of the tensor before it was quantized.
    """

    shape: tuple[int, ...]
    blocksize: int
    dtype: str
    quant_map: Array
    absmax: Array


def dequantize_absmax(
    codes: Bytes, nested_map: Array, nested_absmax: Array, offset: np.float32, blocksize: int
) -> Array:
    """The scales, one for each block, of a doubly quantized tensor."""
    values = nested_map[codes]
    return values * np.repeat(nested_absmax, blocksize)[: values.size] + offset


def packed_range(state: QuantState, start: int, stop: int) -> tuple[int, int]:
    """The bytes [first, last) of a packed matrix that rows [start, stop) are in."""
    columns = int(np.prod(state.shape[1:], dtype=np.int64))
    return start * columns // 2, -(-stop * columns // 2)


def dequantize_rows(data: Bytes, state: QuantState, start: int, stop: int) -> Array:
    """Rows [start, stop) of a matrix, (rows, columns).

    Blocks run over the ends of rows.

    Args:
        data: the bytes that these rows are in, `packed_range`: two values a byte, the first in its
            upper half.
        state: of the whole matrix.
        start: the first row.
        stop: the row behind the last one.
    """
    columns = int(np.prod(state.shape[1:], dtype=np.int64))
    first, last = start * columns, stop * columns
    codes = np.empty(2 * data.size, dtype=np.uint8)
    codes[0::2], codes[1::2] = data >> 4, data & 15
    codes = codes[first % 2 : first % 2 + last - first]
    scales = state.absmax[np.arange(first, last) // state.blocksize]
    values = state.quant_map[codes] * scales
    if state.dtype == "bfloat16":
        values = to_bfloat16(values)
    elif state.dtype == "float16":
        values = values.astype(np.float16).astype(np.float32)
    return values.reshape(stop - start, *state.shape[1:])


def block_absmax(values: Array) -> Array:
    """The scale of each block of 64 of a tensor, in the order of its values."""
    flat = np.abs(values.reshape(-1))
    whole = flat.size // BLOCK * BLOCK
    scales = flat[:whole].reshape(-1, BLOCK).max(axis=1)
    return scales if whole == flat.size else np.append(scales, flat[whole:].max())


def round_trip_absmax(absmax: Array) -> Array:
    """Scales as they come back from double quantization.

    `absmax` has those of the whole tensor, since their mean is subtracted first. Equal to the last
    bit to bitsandbytes on a CPU; on a GPU one scale in a thousand may be rounded otherwise.
    """
    offset = np.float32(absmax.mean(dtype=np.float32))
    rest = absmax - offset
    pad = -rest.size % NESTED_BLOCK
    blocks = np.pad(rest, (0, pad)).reshape(-1, NESTED_BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=1, keepdims=True), TINY)
    table = dynamic_map()
    bounds = (table[:-1] + table[1:]) / np.float32(2)
    codes = np.searchsorted(bounds, blocks * (np.float32(1) / scales), "left")
    back: Array = (table[codes] * scales).reshape(-1)[: rest.size] + offset
    return back


def codes_of(values: Array, absmax: Array) -> Bytes:
    """The codes of values whose first one begins a block, two a byte, the first in the upper half.

    Args:
        values: any number of them, in the order of the tensor.
        absmax: of their blocks, from `block_absmax`.
    """
    flat = values.reshape(-1)
    bounds = (CODES[:-1] + CODES[1:]) / np.float32(2)
    inverse = np.float32(1) / np.maximum(absmax, TINY)
    codes = np.searchsorted(bounds, flat * np.repeat(inverse, BLOCK)[: flat.size], "left")
    codes = np.append(codes.astype(np.uint8), np.zeros(flat.size % 2, dtype=np.uint8))
    packed: Bytes = (codes[0::2] << 4 | codes[1::2]).astype(np.uint8, copy=False)
    return packed


def to_bfloat16(values: Array) -> Array:
    """Values rounded to the nearest bfloat16, ties to even, still as float32."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    finite = (bits & 0x7F800000) != 0x7F800000
    return (np.where(finite, rounded, bits) & np.uint32(0xFFFF0000)).view(np.float32)


@cache
def dynamic_map() -> Array:
    """The 256 values of bitsandbytes' 8-bit "dynamic" type, ascending.

    Seven decades, 10^-6 to 1, each with twice as many values as the one below it: the means of
    neighbours in an even division of [0.1, 1], in both signs; and 0 and 1. The last bits are
    those of torch.linspace, which counts from both ends and rounds once a value.
    """
    values = [np.array([0, 1], dtype=np.float32)]
    for decade in range(7):
        steps = 2**decade
        step = np.float64((np.float32(1) - np.float32(0.1)) / np.float32(steps))
        index = np.arange(steps + 1)
        upward = np.float64(np.float32(0.1)) + step * index
        downward = 1.0 - step * (steps - index)
        edges = np.where(index < (steps + 1) // 2, upward, downward).astype(np.float32)
        means = (edges[:-1] + edges[1:]) / np.float32(2) * np.float32(10.0 ** (decade - 6))
        values += [means, -means]
    return np.sort(np.concatenate(values))
