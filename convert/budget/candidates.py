"""The types that each tensor of a file may have.

Those of llama.cpp's own mixes, so that a file is read as fast as these. Rows that are not whole
blocks of 256 get types with blocks of 32, as llama.cpp gives them to such rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gguf import GGML_QUANT_SIZES

from relay_gguf.convert.arch.weights import FLOATS, Tensor
from relay_gguf.convert.quantize.ftypes import Type, needs_imatrix
from relay_gguf.convert.read.arrays import Array

WIDE: Final = (
    *(Type.Q8_0, Type.Q6_K, Type.Q5_K, Type.Q4_K, Type.IQ4_XS),
    *(Type.Q3_K, Type.Q2_K),
)
"""Types for rows of whole blocks of 256."""
NARROW: Final = (Type.Q8_0, Type.Q5_1, Type.Q5_0, Type.Q4_1, Type.IQ4_NL)
"""Types for other rows of whole blocks of 32."""
SMALL: Final = (Type.IQ3_S, Type.IQ3_XXS, Type.IQ2_S, Type.IQ2_XXS)
"""Types for files of few bits per weight: CPUs are slow with them, and most need an imatrix."""
FEW_BITS: Final = 3.7
"""Bits per weight below which a file may have `SMALL` types: about those of Q3_K_M."""
OUTER: Final = ("token_embd.weight", "output.weight")
LEAST_OUTER: Final = 4.0
"""Bits of the coarsest type of the embedding and the output head, except in files of `FEW_BITS`:
rare words live in few of their rows, and no text that is measured on has all of these."""


def candidates(
    tensors: Sequence[Tensor],
    standard: Mapping[str, Type],
    *,
    bits: float,
    importance: Mapping[str, Array] | None,
    fixed: Mapping[str, Type],
) -> dict[str, tuple[Type, ...]]:
    """Tensor → the types that it may have, the largest first.

    Args:
        tensors: of the file.
        standard: llama.cpp's choice for a quantized file. What it leaves in a float stays so.
        bits: per weight, that the quantized tensors are to have.
        importance: the weights of an imatrix, by tensor name.
        fixed: types that the user has asked for.
    """
    found: dict[str, tuple[Type, ...]] = {}
    for tensor in tensors:
        name, columns = tensor.name, tensor.columns
        if name in fixed or standard[name] in FLOATS:
            found[name] = (fixed.get(name, standard[name]),)
            continue
        kinds: tuple[Type, ...] = WIDE if columns % GGML_QUANT_SIZES[Type.Q4_K][0] == 0 else NARROW
        if bits < FEW_BITS and kinds == WIDE:
            kinds += SMALL
        if bits >= FEW_BITS and name in OUTER:
            kinds = tuple(kind for kind in kinds if bits_of(kind) >= LEAST_OUTER)
        weighed = importance is not None and name in importance
        kinds = tuple(kind for kind in kinds if weighed or not needs_imatrix("", name, kind))
        found[name] = tuple(sorted(kinds, key=bits_of, reverse=True))
    return found


def bits_of(kind: Type) -> float:
    """Bits per weight of a type."""
    block, size = GGML_QUANT_SIZES[kind]
    return 8 * size / block
