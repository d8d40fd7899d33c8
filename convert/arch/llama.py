"""The llama architecture: what a config.json says about it, and where its tensors go.

Names and keys are those of llama.cpp's own converter (conversion/base.py, conversion/llama.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType, get_tensor_name_map

from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.checkpoint import CheckpointTensor
from relay_gguf.convert.read.config import is_number
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.key_faults import MOST_BLOCKS

ARCHITECTURES: Final = ("LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM")
LEFT_OUT: Final = {
    "MistralForCausalLM": {"num_key_value_heads": 8, "max_position_embeddings": 131072},
    "LlamaForCausalLM": {"max_position_embeddings": 2048},
}
"""The values that transformers takes for settings that a config leaves out."""
MAX_CONTEXT: Final = 1 << 31
"""The bound of a context in tokens, and of any size in a config: GGUF has 32 bits for them."""
UNUSED: Final = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of the names of buffers that old checkpoints have, and that no model needs."""


@dataclass(frozen=True, slots=True)
class Llama:
    """The hyperparameters of a Llama or Mistral, under llama.cpp's names.

    Sizes are in values, `context_length` in tokens.
    """

    block_count: int
    context_length: int
    embedding_length: int
    feed_forward_length: int
    head_count: int
    head_count_kv: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    tied: bool | None  # whether the embedding is the output matrix too; None if not stated
    rope: Mapping[str, Any]  # transformers' rope_parameters: rope_type, rope_theta, factor, ...

    @property
    def has_own_frequencies(self) -> bool:
        """Whether RoPE needs a tensor of frequency factors, as in Llama 3.1."""
        return str(self.rope.get("rope_type", "")).lower() == "llama3"


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor of a checkpoint (`source`) under the name that it gets in a GGUF file.

    `heads` is the number of attention heads whose rows have to be permuted, else 0: transformers
    rotates the two halves of a head, llama.cpp neighbouring rows.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    heads: int = 0


def read_llama(config: dict[str, Any]) -> Llama:
    """The hyperparameters in a config.json; for settings left out, transformers' defaults.

    Raises:
        ConversionError: the model is not a Llama or Mistral, or a size is missing or wrong.
    """
    names = config.get("architectures") or [config.get("model_type", "unnamed")]
    if not isinstance(names, list):
        raise ConversionError(f"config.json: architectures is {names!r}; it must be a list.")
    if names[0] not in ARCHITECTURES or config.get("num_local_experts"):
        raise ConversionError(
            f"config.json: the architecture {names[0]} cannot be converted. "
            f"Architectures that can: {', '.join(ARCHITECTURES)}."
        )
    quantization = config.get("quantization_config") or {}
    method = quantization
    if isinstance(quantization, dict):
        method = quantization.get("quant_method", "bitsandbytes")
        if method == "compressed-tensors" and quantization.get("format") == "float-quantized":
            method = "fp8"
    if method not in ("bitsandbytes", "fp8"):
        raise ConversionError(
            f"config.json: the model is quantized with {method}, which cannot be read; "
            "bitsandbytes' NF4 and int8, and FP8 can. Convert the model that it was made from."
        )
    if (act := config.get("hidden_act", "silu")) != "silu":
        raise ConversionError(f"config.json: hidden_act is {act!r}; llama.cpp computes silu.")
    tied = config.get("tie_word_embeddings")
    if tied is not None and not isinstance(tied, bool):
        raise ConversionError(
            f"config.json: tie_word_embeddings is {tied!r}; it must be true or false."
        )
    heads = config.get("num_attention_heads")
    left_out: dict[str, Any] = {"num_key_value_heads": heads}
    left_out |= LEFT_OUT.get(names[0], LEFT_OUT["LlamaForCausalLM"])
    config = left_out | {name: value for name, value in config.items() if value is not None}
    hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    return Llama(
        block_count=_size(config, "num_hidden_layers", MOST_BLOCKS),
        context_length=_size(config, "max_position_embeddings"),
        embedding_length=hidden,
        feed_forward_length=_size(config, "intermediate_size"),
        head_count=heads,
        head_count_kv=_size(config, "num_key_value_heads"),
        head_dim=_size(config, "head_dim") if config.get("head_dim") else hidden // heads,
        vocab_size=_size(config, "vocab_size"),
        rms_norm_eps=_number(config, "rms_norm_eps", 1e-6),
        tied=tied,
        rope=_rope(config),
    )


def add_llama_metadata(writer: GGUFWriter, llama: Llama, context_length: int | None = None) -> None:
    """Add `llama.*`, in llama.cpp's order; `context_length` replaces the config's."""
    writer.add_block_count(llama.block_count)
    writer.add_context_length(context_length or llama.context_length)
    writer.add_embedding_length(llama.embedding_length)
    writer.add_feed_forward_length(llama.feed_forward_length)
    writer.add_head_count(llama.head_count)
    writer.add_head_count_kv(llama.head_count_kv)
    _add_rope_scaling(writer, llama.rope)
    writer.add_rope_freq_base(float(llama.rope["rope_theta"]))
    writer.add_layer_norm_rms_eps(llama.rms_norm_eps)
    writer.add_key_length(llama.head_dim)
    writer.add_value_length(llama.head_dim)
    writer.add_vocab_size(llama.vocab_size)
    writer.add_rope_dimension_count(llama.head_dim)


def place(llama: Llama, infos: Mapping[str, CheckpointTensor]) -> Iterator[Placed]:
    """Each tensor of a checkpoint under its name in a GGUF file.

    Args:
        llama: the hyperparameters, which tell the shapes.
        infos: the checkpoint's tensors, by Hugging Face's names.

    Raises:
        ConversionError: a tensor is unknown, missing, or of another shape than the config's.
    """
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, llama.block_count)
    expected = dict(_expected(llama))
    placed = set()
    for source, info in infos.items():
        if source.endswith(UNUSED):
            continue
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ConversionError(f"The model has a tensor {source}, which a Llama does not have.")
        shape = expected.get(name)
        if name.endswith(".bias"):
            rows = expected.get(name.removesuffix("bias") + "weight")
            shape = None if rows is None else rows[:1]
        if shape is None:
            raise ConversionError(f"The model has a tensor {source}, which a Llama does not have.")
        if shape != info.shape:
            raise ConversionError(f"{source} is {info.shape}; config.json makes it {shape}.")
        placed.add(name)
        heads = {"attn_q": llama.head_count, "attn_k": llama.head_count_kv}
        yield Placed(name, source, info.shape, heads.get(name.split(".")[-2], 0))
    if llama.tied is not False:
        expected.pop("output.weight")
    missing = [name for name in expected if name not in placed]
    if missing:
        raise ConversionError(
            f"The model lacks {len(missing)} tensors, {missing[0]} among them (llama.cpp's names). "
            "Is a shard missing?"
        )


def outline(llama: Llama, *, tied: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors; a tied model has no output matrix of its own."""
    tensors = dict(_expected(llama))
    if tied:
        del tensors["output.weight"]
    if llama.has_own_frequencies:
        tensors["rope_freqs.weight"] = (llama.head_dim // 2,)
    return tensors


def permute(rows: Array, head_dim: int) -> Array:
    """Rows of whole heads, (heads * head_dim, ...), from transformers' rotary order to llama.cpp's.

    Rows of a head's first and second half alternate then (LlamaModel.permute of the converter).
    """
    halves = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def unpermute(rows: Array, head_dim: int) -> Array:
    """Rows of whole heads, from llama.cpp's rotary order back to transformers'."""
    pairs = rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def rope_factors(llama: Llama) -> Array:
    """The divisors of RoPE's frequencies in Llama 3.1, (head_dim / 2,) in float32.

    1 for short waves, `factor` for long ones, as "llama3" in transformers' modeling_rope_utils.py.
    """
    rope = llama.rope
    exponents = np.arange(0, llama.head_dim, 2, dtype=np.float32) / np.float32(llama.head_dim)
    frequencies = np.float32(1) / np.power(np.float32(rope["rope_theta"]), exponents)
    factor = float(rope.get("factor", 8.0))
    low, high = _bounds(rope)
    trained = float(rope.get("original_max_position_embeddings", 8192))
    wavelengths = np.float32(2 * math.pi) / frequencies
    smooth = (np.float32(trained) / wavelengths - np.float32(low)) / np.float32(high - low)
    between = np.float32(1) / ((np.float32(1) - smooth) / np.float32(factor) + smooth)
    factors = np.where(wavelengths > trained / low, np.float32(factor), between)
    return np.where(wavelengths < trained / high, np.float32(1), factors).astype(np.float32)


def _expected(llama: Llama) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of a llama, by llama.cpp's name, and its shape."""
    hidden, ff = llama.embedding_length, llama.feed_forward_length
    q, kv = llama.head_count * llama.head_dim, llama.head_count_kv * llama.head_dim
    yield "token_embd.weight", (llama.vocab_size, hidden)
    yield "output.weight", (llama.vocab_size, hidden)
    yield "output_norm.weight", (hidden,)
    for block in range(llama.block_count):
        stem = f"blk.{block}"
        yield f"{stem}.attn_norm.weight", (hidden,)
        yield f"{stem}.attn_q.weight", (q, hidden)
        yield f"{stem}.attn_k.weight", (kv, hidden)
        yield f"{stem}.attn_v.weight", (kv, hidden)
        yield f"{stem}.attn_output.weight", (hidden, q)
        yield f"{stem}.ffn_norm.weight", (hidden,)
        yield f"{stem}.ffn_gate.weight", (ff, hidden)
        yield f"{stem}.ffn_up.weight", (ff, hidden)
        yield f"{stem}.ffn_down.weight", (hidden, ff)


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The RoPE parameters of a config, read as transformers 5 reads them."""
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(given, dict) or any(isinstance(value, dict) for value in given.values()):
        raise ConversionError(
            f"config.json: rope_scaling is {given!r}; it must be an object, one for all layers."
        )
    rope = {name: value for name, value in given.items() if value is not None}
    if (kind := rope.get("rope_type", rope.get("type"))) is not None:
        rope["rope_type"] = kind
    theta = _number(rope, "rope_theta", 10000.0)
    rope["rope_theta"] = _number(config, "rope_theta", theta)
    trained = "original_max_position_embeddings"
    for name in ("factor", "low_freq_factor", "high_freq_factor", trained):
        if name in rope:
            _number(rope, name, 1.0)
    rope.setdefault(trained, config["max_position_embeddings"])
    if not 1 <= rope[trained] < MAX_CONTEXT:
        raise ConversionError(
            f"config.json: {trained} is {rope[trained]!r}; it must be 1 to {MAX_CONTEXT - 1}."
        )
    low, high = _bounds(rope)
    if str(kind).lower() == "llama3" and low >= high:
        raise ConversionError(
            f"config.json: low_freq_factor is {low} and high_freq_factor {high}; the second must "
            "be larger."
        )
    return rope


def _bounds(rope: Mapping[str, Any]) -> tuple[float, float]:
    """The factors that bound Llama 3.1's long and short waves, or the usual ones."""
    return float(rope.get("low_freq_factor", 1.0)), float(rope.get("high_freq_factor", 4.0))


def _add_rope_scaling(writer: GGUFWriter, rope: Mapping[str, Any]) -> None:
    kind, factor = str(rope.get("rope_type") or "default").lower(), rope.get("factor")
    if kind in ("default", "llama3"):
        return
    if kind == "linear" and factor is not None:
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(factor)
        return
    if kind != "yarn" or factor is None:
        raise ConversionError(
            f"config.json: the RoPE scaling {dict(rope)} is unknown. "
            "default, linear, yarn and llama3 can be converted."
        )
    writer.add_rope_scaling_type(RopeScalingType.YARN)
    writer.add_rope_scaling_factor(factor)
    writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))
    for add, names in (
        (writer.add_rope_scaling_yarn_ext_factor, ("extrapolation_factor",)),
        (writer.add_rope_scaling_yarn_attn_factor, ("attention_factor", "attn_factor")),
        (writer.add_rope_scaling_yarn_beta_fast, ("beta_fast",)),
        (writer.add_rope_scaling_yarn_beta_slow, ("beta_slow",)),
    ):
        name = next((name for name in names if rope.get(name) is not None), None)
        if name is not None:
            add(_number(rope, name, 1.0))


def _number(config: Mapping[str, Any], name: str, default: float) -> float:
    value = config.get(name, default)
    if not is_number(value) or value <= 0:
        raise ConversionError(f"config.json: {name} is {value!r}; it must be a positive number.")
    return float(value)


def _size(config: Mapping[str, Any], name: str, most: int = MAX_CONTEXT - 1) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise ConversionError(
            f"config.json: {name} is {value!r}; it must be a whole number, 1 to {most}."
        )
    return value
