"""A random Llama of one block, small enough to be made and evaluated in a moment.

`write` makes the GGUF file that llama.cpp evaluates, `logits` evaluates the same weights in NumPy:
the oracle of the self-test. The arithmetic is that of llama.cpp's src/models/llama.cpp: RMS norm,
rotary positions of neighbouring pairs, grouped-query attention, SwiGLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header

N_VOCAB, N_EMBD, N_FF, N_HEAD, N_HEAD_KV = 256, 256, 512, 4, 2
HEAD_DIM: Final = N_EMBD // N_HEAD
EPS, ROPE_BASE = 1e-5, 10000.0
SEED: Final = 20407
TYPES: Final = ("Q8_0", "Q4_K", "Q6_K", "F16")
"""Quantization types of users' files, each with code of its own in every backend."""

SHAPES: Final[Mapping[str, tuple[int, int]]] = {
    "attn_q": (N_EMBD, N_EMBD),
    "attn_k": (HEAD_DIM * N_HEAD_KV, N_EMBD),
    "attn_v": (HEAD_DIM * N_HEAD_KV, N_EMBD),
    "attn_output": (N_EMBD, N_EMBD),
    "ffn_gate": (N_FF, N_EMBD),
    "ffn_up": (N_FF, N_EMBD),
    "ffn_down": (N_EMBD, N_FF),
}
N_WEIGHTS: Final = sum(rows * columns for rows, columns in SHAPES.values()) + N_VOCAB * N_EMBD
"""The number of weights that a token is multiplied with."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """Tensors of one quantization type: `packed` rows of bytes as in a file, `values` in float32.

    Whatever the type, the embedding is F16, and the norms are F32 and all ones.
    """

    ggml_type: str
    packed: Mapping[str, NDArray[np.uint8]]
    values: Mapping[str, Floats]


def make(ggml_type: str) -> TinyModel:
    """The model of a quantization type; each call returns the same."""
    rng = np.random.default_rng(SEED)
    embedding = rng.standard_normal((N_VOCAB, N_EMBD)).astype(np.float16)
    packed = {"token_embd": _bytes(embedding)}
    values = {"token_embd": embedding.astype(np.float32)}
    names = {f"blk.0.{name}": shape for name, shape in SHAPES.items()}
    for name, shape in {**names, "output": (N_VOCAB, N_EMBD)}.items():
        packed[name] = _random_rows(rng, shape, ggml_type)
        values[name] = dequantize(packed[name], GGMLQuantizationType[ggml_type])
    return TinyModel(ggml_type, packed, values)


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)


def _random_rows(
    rng: np.random.Generator, shape: tuple[int, int], ggml_type: str
) -> NDArray[np.uint8]:
    """Rows of random blocks whose values have a standard deviation of about 1 / sqrt(columns).

    Blocks as in ggml/src/ggml-common.h: any bytes are valid quants, only the scales are chosen.
    """
    rows, columns = shape
    unit = columns**-0.5
    if ggml_type == "F16":
        return _bytes((rng.standard_normal(shape) * unit).astype(np.float16))
    size, n_bytes, scales = {
        "Q8_0": (32, 34, {0: unit / 73}),
        "Q4_K": (256, 144, {0: unit / 190, 2: 7.5 * unit / 190}),
        "Q6_K": (256, 210, {208: unit / 1370}),
    }[ggml_type]
    blocks = rng.integers(0, 256, (rows, columns // size, n_bytes), dtype=np.uint8)
    for offset, scale in scales.items():
        blocks[:, :, offset : offset + 2] = np.array([scale], dtype="<f2").view(np.uint8)
    return blocks.reshape(rows, -1)


def write(model: TinyModel, path: Path) -> Path:
    """Write the GGUF file of a model, without a vocabulary; returns its path."""
    shapes = {f"blk.0.{name}": shape for name, shape in SHAPES.items()}
    shapes |= {"token_embd": (N_VOCAB, N_EMBD), "output": (N_VOCAB, N_EMBD)}
    norms = ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")
    ones = np.ones((1, N_EMBD), dtype="<f4").view(np.uint8)
    data, infos, offset = [], [], 0
    for name, rows in {**model.packed, **dict.fromkeys(norms, ones)}.items():
        kind = "F32" if name in norms else "F16" if name == "token_embd" else model.ggml_type
        shape = shapes.get(name, (N_EMBD,))
        infos.append(TensorInfo(f"{name}.weight", shape, GGMLQuantizationType[kind].value, offset))
        data.append(rows.tobytes())
        offset += len(data[-1])  # all of them multiples of 32: no padding
    keys = {
        "general.architecture": Value("llama", ValueType.STRING),
        "llama.block_count": Value(1, ValueType.UINT32),
        "llama.context_length": Value(256, ValueType.UINT32),
        "llama.embedding_length": Value(N_EMBD, ValueType.UINT32),
        "llama.feed_forward_length": Value(N_FF, ValueType.UINT32),
        "llama.attention.head_count": Value(N_HEAD, ValueType.UINT32),
        "llama.attention.head_count_kv": Value(N_HEAD_KV, ValueType.UINT32),
        "llama.attention.layer_norm_rms_epsilon": Value(EPS, ValueType.FLOAT32),
        "llama.rope.dimension_count": Value(HEAD_DIM, ValueType.UINT32),
        "llama.rope.freq_base": Value(ROPE_BASE, ValueType.FLOAT32),
        "llama.vocab_size": Value(N_VOCAB, ValueType.UINT32),
        "tokenizer.ggml.model": Value("none", ValueType.STRING),
    }
    path.write_bytes(pack_header(keys, infos) + b"".join(data))
    return path


def logits(model: TinyModel, tokens: Sequence[int]) -> Floats:
    """The logits (n_tokens, n_vocab) after each token, in float32 without quantized activations."""
    w = model.values
    x = w["token_embd"][list(tokens)]
    h = _norm(x)
    q, k, v = (h @ w[f"blk.0.attn_{name}"].T for name in "qkv")
    x = x + _attention(_rotated(q), _rotated(k), v) @ w["blk.0.attn_output"].T
    h = _norm(x)
    gate = h @ w["blk.0.ffn_gate"].T
    h = gate / (1 + np.exp(-gate)) * (h @ w["blk.0.ffn_up"].T)
    x = x + h @ w["blk.0.ffn_down"].T
    found: Floats = _norm(x) @ w["output"].T
    return found


def _norm(x: Floats) -> Floats:
    scaled: Floats = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(EPS))
    return scaled


def _rotated(x: Floats) -> Floats:
    """Heads (n_tokens, n, HEAD_DIM) with each neighbouring pair turned by its position's angle."""
    heads = x.reshape(len(x), -1, HEAD_DIM)
    angles = np.arange(len(x))[:, None] * ROPE_BASE ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    even, odd = heads[..., 0::2], heads[..., 1::2]
    turned = np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return turned.reshape(heads.shape).astype(np.float32)


def _attention(q: Floats, k: Floats, v: Floats) -> Floats:
    """Causal attention: q (n_tokens, N_HEAD, HEAD_DIM), k with N_HEAD_KV heads, v flat."""
    group = N_HEAD // N_HEAD_KV
    k = np.repeat(k, group, axis=1)
    v = np.repeat(v.reshape(len(v), N_HEAD_KV, HEAD_DIM), group, axis=1)
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(HEAD_DIM)
    scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    mixed: Floats = np.einsum("hij,jhd->ihd", weights, v).reshape(len(q), -1).astype(np.float32)
    return mixed
