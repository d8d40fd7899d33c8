"""8-bit weights with scales beside them: bitsandbytes' int8 and FP8, back to float32.

A scale is for a whole tensor, for a row, or for a block of 128 x 128 values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from relay_gguf.errors import ConversionError

from .arrays import Array, Bytes

SCALES: Final = {
    ".SCB": "I8",
    ".weight_scale_inv": "F8_E4M3",
    ".weight_scale": "F8_E4M3",
}
"""Endings of the names of scales, in the place of `.weight`, and the type that they scale."""
UNUSED: Final = (".weight_format", ".activation_scale", ".input_scale")
"""Endings of tensors beside them that are for computing in 8 bits."""
BLOCK: Final = 128
INT8: Final = np.float32(7.874015718698502e-3)
"""1 / 127: SCB is the largest value of a row (bitsandbytes, int8_vectorwise_dequant)."""


def scales_of(names: Iterable[str]) -> dict[str, str]:
    """Name of a weight → name of its scales."""
    there = set(names)
    return {
        weight: name
        for name in sorted(there)
        for ending in SCALES
        if name.endswith(ending) and (weight := name.removesuffix(ending) + ".weight") in there
    }


def companions_of(names: Iterable[str]) -> set[str]:
    """The scales, and what is beside them for computing in 8 bits alone."""
    there = set(names)
    scales = scales_of(there)
    stems = {weight.removesuffix(".weight") for weight in scales}
    return {*scales.values(), *(stem + ending for stem in stems for ending in UNUSED)} & there


def check_scales(name: str, dtype: str, shape: tuple[int, ...], scales: tuple[int, ...]) -> None:
    """Refuse scales that are not for a tensor of this type and shape.

    Raises:
        ConversionError: they are not.
    """
    if dtype not in SCALES.values():
        raise ConversionError(f"{name} is stored as {dtype}, and has scales beside it.")
    blocks = tuple(-(-size // BLOCK) for size in shape)
    whole = ((), (1,))
    if len(shape) != 2 or scales not in (*whole, shape[:1], (*shape[:1], 1), blocks):
        raise ConversionError(f"{name} is {shape}, which its scales of {scales} do not fit.")


def dequantize(data: Bytes, dtype: str, scales: Array, shape: tuple[int, ...], start: int) -> Array:
    """Rows from `start` on of a tensor of this shape, (rows, columns) in float32.

    Args:
        data: their bytes.
        dtype: `I8` or `F8_E4M3`.
        scales: of the whole tensor.
        shape: of the whole tensor.
        start: the first row.
    """
    stored = data.reshape(-1, shape[1])
    stop = start + stored.shape[0]
    if dtype == "I8":
        integers = stored.view(np.int8).astype(np.float32)
        return integers * _rows(scales, shape, start, stop) * INT8
    return E4M3[stored] * _rows(scales, shape, start, stop)


def _rows(scales: Array, shape: tuple[int, ...], start: int, stop: int) -> Array:
    """The scales of some rows, to multiply them with."""
    if scales.size == 1:
        return scales.reshape(1, 1)
    if scales.size == shape[0]:
        return scales.reshape(-1, 1)[start:stop]
    wide = np.repeat(scales, BLOCK, axis=1)[:, : shape[1]]
    return wide[np.arange(start, stop) // BLOCK]


def _e4m3() -> Array:
    """The value of each byte: a sign, 4 bits of exponent, 3 of fraction, no infinity."""
    codes = np.arange(128)
    exponent, fraction = codes >> 3, (codes & 7) / 8
    normal = (1 + fraction) * 2.0 ** (exponent - 7)
    values = np.where(exponent == 0, fraction * 2.0**-6, normal)
    values[127] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)


E4M3: Final = _e4m3()
