"""A Llama's tensors as its metadata has them, by the shapes of llama.cpp's src/models/llama.cpp."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Final

from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type

from .gguf_model import EMBEDDING, OUTPUT, GgufModel, type_name
from .header import TensorInfo
from .key_faults import LLAMA, MOST_BLOCKS, head_sizes
from .values import integer, text

NO_TOKENS: Final = ("none", "no_vocab")
"""The vocabularies (tokenizer.ggml.model) of models that have none."""
CANNOT_MULTIPLY: Final = (
    *(Type.I8, Type.I16, Type.I32, Type.I64, Type.F64),
    *(Type.Q8_1, Type.Q8_K),
)
"""Types that llama.cpp loads as a matrix, and ends over at the first token."""
_BLOCK: Final = re.compile(r"blk\.(\d+)\.")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LlamaTensors:
    """The shapes (rows first) of tensors that a file must have, and of those that it may have."""

    needed: dict[str, Shape] = field(default_factory=dict)
    allowed: dict[str, Shape] = field(default_factory=dict)


def tensor_faults(model: GgufModel) -> Iterator[str]:
    """Tensors that are missing, of another shape or type, or of a block that is not there."""
    for info in model.tensors:
        block = block_size(info)
        if block > 1 and (not info.shape or info.shape[-1] % block):
            length = info.shape[-1] if info.shape else 1
            kind = type_name(info)
            yield f"{info.name} has rows of {length} values, and {kind} has blocks of {block}"
            break
    expected = llama_tensors(model)
    if expected is None:
        return
    found = {info.name: info for info in model.tensors}
    n_blocks = integer(model.metadata, f"{LLAMA}.block_count")
    for number in sorted({int(match[1]) for name in found if (match := _BLOCK.match(name))}):
        if number >= (n_blocks or 0):
            yield f"There are tensors of block {number}, and {LLAMA}.block_count is {n_blocks}"
            break
    if missing := [name for name in expected.needed if name not in found]:
        more = f" and {len(missing) - 1} others are" if len(missing) > 1 else " is"
        yield f"The tensor {missing[0]}{more} missing"
    for name, shape in {**expected.needed, **expected.allowed}.items():
        if name not in found:
            continue
        info = found[name]
        if _plain(info.shape) != _plain(shape):
            yield f"{name} is {_product(info.shape)} and should be {_product(shape)}"
            return  # a wrong size in the metadata makes all of them wrong
        if not _has_usable_type(info):
            yield f"{name} is {type_name(info)}, with which llama.cpp cannot compute"
            return


def llama_tensors(model: GgufModel) -> LlamaTensors | None:
    """The tensors of a dense Llama; None for another model, or one whose sizes are not known."""
    metadata = model.metadata

    def size(name: str) -> int:
        return integer(metadata, f"{LLAMA}.{name}") or 0

    n_blocks, width, n_ff = (
        size("block_count"),
        size("embedding_length"),
        size("feed_forward_length"),
    )
    heads = size("attention.head_count")
    if (
        model.architecture != LLAMA
        or not 0 < n_blocks <= MOST_BLOCKS
        or not (width > 0 and heads > 0)
        or size("expert_count")
        or size("nextn_predict_layers")
        or f"{LLAMA}.feed_forward_length" not in metadata
        or any(isinstance(metadata[key].value, list) for key in metadata if _is_size(key))
    ):
        return None
    n_kv = (
        heads
        if f"{LLAMA}.attention.head_count_kv" not in metadata
        else size("attention.head_count_kv")
    )
    key, value, rotated = head_sizes(metadata, width // heads)
    n_vocab = _n_vocab(model)
    found = LlamaTensors()
    found.needed.update({EMBEDDING: (n_vocab, width), "output_norm.weight": (width,)})
    found.allowed.update({OUTPUT: (n_vocab, width), "rope_freqs.weight": (rotated // 2,)})
    matrices = {
        "attn_q": (key * heads, width),
        "attn_k": (key * n_kv, width),
        "attn_v": (value * n_kv, width),
        "attn_output": (width, key * heads),
        "ffn_gate": (n_ff, width),
        "ffn_down": (width, n_ff),
        "ffn_up": (n_ff, width),
    }
    fused = {info.name for info in model.tensors if "attn_qkv" in info.name}
    for block in range(n_blocks):
        for name in ("attn_norm", "ffn_norm"):
            found.needed[f"blk.{block}.{name}.weight"] = (width,)
        for name, shape in matrices.items():
            if name[-2:] in ("_q", "_k", "_v") and f"blk.{block}.attn_qkv.weight" in fused:
                continue
            found.needed[f"blk.{block}.{name}.weight"] = shape
            found.allowed[f"blk.{block}.{name}.bias"] = shape[:1]
    return found


def _n_vocab(model: GgufModel) -> int:
    """Rows that the embedding should have: as many as it has, where its tokens are counted."""
    if text(model.metadata, "tokenizer.ggml.model") in NO_TOKENS:
        return integer(model.metadata, f"{LLAMA}.vocab_size") or 0
    embedding = model.tensor(EMBEDDING)
    return 0 if embedding is None else n_rows(embedding)


def n_rows(info: TensorInfo) -> int:
    """The rows of a tensor, of all its dimensions but the last."""
    return prod(info.shape[:-1])


def block_size(info: TensorInfo) -> int:
    """Values that are quantized together; 1 for an unknown type."""
    sizes = GGML_QUANT_SIZES.get(info.ggml_type)  # type: ignore[call-overload]
    return int(sizes[0]) if sizes else 1


def _is_size(key: str) -> bool:
    return key.startswith(f"{LLAMA}.")


def _plain(shape: Shape) -> Shape:
    """A shape without the ones before it, which llama.cpp does not tell from none."""
    start = next((n for n, size in enumerate(shape[:-1]) if size != 1), len(shape) - 1)
    return shape[start:]


def _product(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a number"


def _has_usable_type(info: TensorInfo) -> bool:
    if len(_plain(info.shape)) < 2:
        return info.ggml_type == Type.F32
    return info.ggml_type not in CANNOT_MULTIPLY
