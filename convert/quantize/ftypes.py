"""File types, as llama.cpp names them, and types of tensors, of which a file has several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gguf import GGMLQuantizationType, LlamaFileType

Type = GGMLQuantizationType

FTYPES: Final[Mapping[str, LlamaFileType]] = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q6_K_L": LlamaFileType.MOSTLY_Q6_K,
    "Q6_K": LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_L": LlamaFileType.MOSTLY_Q5_K_M,
    "Q5_K_M": LlamaFileType.MOSTLY_Q5_K_M,
    "Q5_K_S": LlamaFileType.MOSTLY_Q5_K_S,
    "Q5_1": LlamaFileType.MOSTLY_Q5_1,
    "Q5_0": LlamaFileType.MOSTLY_Q5_0,
    "Q4_K_L": LlamaFileType.MOSTLY_Q4_K_M,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
    "Q4_K_S": LlamaFileType.MOSTLY_Q4_K_S,
    "Q4_1": LlamaFileType.MOSTLY_Q4_1,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
    "MXFP4_MOE": LlamaFileType.MOSTLY_MXFP4_MOE,
    "IQ4_NL": LlamaFileType.MOSTLY_IQ4_NL,
    "IQ4_XS": LlamaFileType.MOSTLY_IQ4_XS,
    "Q3_K_XL": LlamaFileType.MOSTLY_Q3_K_L,
    "Q3_K_L": LlamaFileType.MOSTLY_Q3_K_L,
    "Q3_K_M": LlamaFileType.MOSTLY_Q3_K_M,
    "IQ3_M": LlamaFileType.MOSTLY_IQ3_M,
    "IQ3_S": LlamaFileType.MOSTLY_IQ3_S,
    "Q3_K_S": LlamaFileType.MOSTLY_Q3_K_S,
    "IQ3_XS": LlamaFileType.MOSTLY_IQ3_XS,
    "IQ3_XXS": LlamaFileType.MOSTLY_IQ3_XXS,
    "Q2_K_L": LlamaFileType.MOSTLY_Q2_K,
    "Q2_K": LlamaFileType.MOSTLY_Q2_K,
    "Q2_K_S": LlamaFileType.MOSTLY_Q2_K_S,
    "IQ2_M": LlamaFileType.MOSTLY_IQ2_M,
    "IQ2_S": LlamaFileType.MOSTLY_IQ2_S,
    "IQ2_XS": LlamaFileType.MOSTLY_IQ2_XS,
    "IQ2_XXS": LlamaFileType.MOSTLY_IQ2_XXS,
    "TQ2_0": LlamaFileType.MOSTLY_TQ2_0,
    "IQ1_M": LlamaFileType.MOSTLY_IQ1_M,
    "TQ1_0": LlamaFileType.MOSTLY_TQ1_0,
    "IQ1_S": LlamaFileType.MOSTLY_IQ1_S,
}
"""The file types that can be written, by their names, from large to small."""

LARGE: Final = ("Q6_K_L", "Q5_K_L", "Q4_K_L", "Q3_K_XL", "Q2_K_L")
"""llama.cpp's mix of `FTYPES`, but for the embedding and the output head, which are Q8_0.

The names are those under which such files are published; llama.cpp has none for them."""

WITH_IMATRIX: Final = (
    *("IQ3_XS", "IQ3_XXS", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"),
)
"""The file types that llama.cpp writes with an importance matrix only."""

ENCODED: Final = (
    *(Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q6_K, Type.Q5_K, Type.Q5_1, Type.Q5_0),
    *(Type.Q4_K, Type.Q4_1, Type.Q4_0, Type.MXFP4, Type.IQ4_NL, Type.IQ4_XS, Type.Q3_K),
    *(Type.IQ3_S, Type.IQ3_XXS, Type.Q2_K, Type.IQ2_S, Type.IQ2_XS, Type.IQ2_XXS),
    *(Type.TQ2_0, Type.TQ1_0, Type.IQ1_M, Type.IQ1_S),
)
"""The types that a tensor may have."""

FLOATS: Final = ("F32", "F16", "BF16")
"""The file types that are not quantized."""

WEIGHED: Final = (Type.IQ3_XXS, Type.IQ2_S, Type.IQ2_XS, Type.IQ2_XXS, Type.IQ1_M, Type.IQ1_S)
"""Types of tensors that need an importance matrix, but for embedding and output head."""

ALWAYS_WEIGHED: Final = (Type.IQ2_XS, Type.IQ2_XXS, Type.IQ1_S)
"""Types of tensors that cannot be encoded without an importance matrix at all."""


def needs_imatrix(ftype: str, name: str, kind: Type) -> bool:
    """Whether a tensor must have weights in an importance matrix (tensor_requires_imatrix).

    Args:
        ftype: the type of the file.
        name: of the tensor.
        kind: the type that it is to have.
    """
    if name in ("token_embd.weight", "output.weight"):
        return kind in ALWAYS_WEIGHED
    return kind in WEIGHED or (ftype == "Q2_K_S" and kind is Type.Q2_K)
