"""Hugging Face model and adapter folders of any size, the same bytes each time, without torch.

Their weights are SmolLM2's or noise. Noise comes row slab by row slab, so that a folder of the size
of Mistral-Nemo needs little memory, and from integers, so that every machine makes the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from hf_configs import write_config
from hf_tokenizers import add_tokens as grow_tokenizer
from hf_tokenizers import copy_tokenizer, dump_json, keys_of, load_json, write_tokenizer
from hf_weights import Tensor, noise, slices, write_safetensors, write_shards

from relay_gguf.gguf_file.header import read_header

LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
HF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; as in Mistral-Nemo, `heads * head_dim` need not be `hidden`."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int


TINY = Shape(64, 1, 2, 1, 48, 96)
PICO = Shape(256, 2, 3, 1, 64, 512)
MINI = Shape(2048, 16, 12, 4, 128, 5632)
NEMO = Shape(5120, 40, 32, 8, 128, 14336)


def write_smollm2(
    folder: Path, gguf: Path, *, shards: int = 2, dtype: str = "BF16", n_layers: int | None = None
) -> Path:
    """Write SmolLM2 as a folder: its GGUF file dequantized, in the order of Hugging Face.

    Args:
        folder: where.
        gguf: the file, `relay_gguf.models.demo.demo_model()`.
        shards: its safetensors files; with more than one there is an index.
        dtype: of its tensors, `F32`, `F16` or `BF16`.
        n_layers: the first layers alone; all by default.
    """
    write_tokenizer(folder, gguf)
    header, data = read_header(gguf), np.memmap(gguf, mode="r")
    field = keys_of(gguf)
    heads = {"q": field["llama.attention.head_count"], "k": field["llama.attention.head_count_kv"]}
    config = {
        "hidden_size": field["llama.embedding_length"],
        "intermediate_size": field["llama.feed_forward_length"],
        "num_hidden_layers": n_layers or field["llama.block_count"],
        "num_attention_heads": heads["q"],
        "num_key_value_heads": heads["k"],
        "max_position_embeddings": field["llama.context_length"],
        "rope_theta": field["llama.rope.freq_base"],
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in header.tensors),
    }
    write_config(folder, "LlamaForCausalLM", dtype, None, config)
    tensors: dict[str, Tensor] = {}
    for source in header.tensors:
        *block, stem, _ = source.name.split(".")
        if n_layers is not None and block and int(block[1]) >= n_layers:
            continue
        prefix = f"model.layers.{block[1]}." if block else ""
        shape = source.shape
        ggml_type = GGMLQuantizationType(source.ggml_type)
        block_size, n_bytes = GGML_QUANT_SIZES[ggml_type]
        start = header.size + source.offset
        stored = data[start : start + math.prod(shape) // block_size * n_bytes]
        stored = stored.view(np.float32) if ggml_type == GGMLQuantizationType.F32 else stored
        values = dequantize(stored, ggml_type).astype(np.float32).reshape(shape)
        if stem in ("attn_q", "attn_k"):  # llama.cpp has the two halves of each head interleaved
            head = values.reshape(heads[stem[-1]], -1, 2, shape[1])
            values = head.swapaxes(1, 2).reshape(shape)
        tensors[f"{prefix}{HF_NAMES[stem]}.weight"] = Tensor(dtype, shape, slices(values))
    names = list(tensors)
    edges = [len(names) * i // shards for i in range(shards + 1)]
    parts = [names[a:b] for a, b in itertools.pairwise(edges)]
    write_shards(folder, [{name: tensors[name] for name in part} for part in parts])
    return folder


def write_mistral(
    folder: Path,
    tokenizer_from: Path,
    shape: Shape,
    *,
    arch: str = "MistralForCausalLM",
    dtype: str = "BF16",
    tied: bool = False,
    bias: bool = False,
    rope_scaling: Mapping[str, Any] | None = None,
    add_tokens: Sequence[str] = (),
    plain_tokens: Sequence[str] = (),
    tokenizer_changes: Mapping[str, Any] | None = None,
    tokenizer_config: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    shard_bytes: int = 5_000_000_000,
    seed: int = 0,
    vocab: int | None = None,
) -> Path:
    """Write a folder of random weights.

    Args:
        folder: where.
        tokenizer_from: a folder whose tokenizer is taken.
        shape: its sizes.
        arch: its class, `MistralForCausalLM` or `LlamaForCausalLM`.
        dtype: of its tensors, `F32`, `F16` or `BF16`.
        tied: whether it lacks an `lm_head.weight`.
        bias: whether the attention's linears have biases.
        rope_scaling: that entry of `config.json`.
        add_tokens: special tokens that the tokenizer gets.
        plain_tokens: tokens after those that are not special.
        tokenizer_changes: entries of `tokenizer.json`, such as another post-processor.
        tokenizer_config: entries of `tokenizer_config.json`.
        config: entries of `config.json`; None takes one away.
        card: a README.md.
        generation: entries of `generation_config.json`.
        shard_bytes: a new safetensors file begins where one would be larger.
        seed: of its weights.
        vocab: rows of its embedding, if not as many as the tokenizer has tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(tokenizer_from, folder)
    grow_tokenizer(folder, add_tokens, special=True)
    grow_tokenizer(folder, plain_tokens, special=False)
    if tokenizer_changes:
        dump_json(
            folder / "tokenizer.json", load_json(folder / "tokenizer.json") | tokenizer_changes
        )
    path = folder / "tokenizer_config.json"
    dump_json(path, load_json(path) | (tokenizer_config or {}))
    if card is not None:
        (folder / "README.md").write_text(card, "utf-8")
    settings = {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": 131072,
        "rope_theta": 1000000.0,
        "rope_scaling": rope_scaling,
        "sliding_window": None,
        "attention_bias": bias,
        "tie_word_embeddings": tied,
    }
    if arch != "MistralForCausalLM":
        del settings["sliding_window"]
    rows = write_config(folder, arch, dtype, vocab, settings, config, generation)

    tensors: dict[str, Tensor] = {}

    def add(name: str, *size: int, mean: float = 0.0, scale: float | None = None) -> None:
        spread = 0.6 / math.sqrt(size[-1]) if scale is None else scale
        tensors[name] = Tensor(dtype, size, noise(seed, name, size, spread, mean))

    add("model.embed_tokens.weight", rows, shape.hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        add(f"{prefix}input_layernorm.weight", shape.hidden, mean=1.0, scale=0.1)
        for name, size in linear_shapes(shape).items():
            add(f"{prefix}{name}.weight", *size)
            if bias and "self_attn" in name:
                add(f"{prefix}{name}.bias", size[0], scale=0.1)
        add(f"{prefix}post_attention_layernorm.weight", shape.hidden, mean=1.0, scale=0.1)
    add("model.norm.weight", shape.hidden, mean=1.0, scale=0.1)
    if not tied:
        add("lm_head.weight", rows, shape.hidden)
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        if sum(other.nbytes for other in shards[-1].values()) + tensor.nbytes > shard_bytes:
            shards.append({})
        shards[-1][name] = tensor
    write_shards(folder, [shard for shard in shards if shard])
    return folder


def linear_shapes(shape: Shape) -> dict[str, tuple[int, int]]:
    """The (rows, columns) of a layer's seven linears."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    hidden, inner = shape.hidden, shape.intermediate
    sizes = [(q, hidden), (kv, hidden), (kv, hidden), (hidden, q), (inner, hidden), (inner, hidden)]
    return dict(zip(LINEARS, [*sizes, (hidden, inner)], strict=True))


def write_adapter(
    folder: Path,
    base: Path,
    *,
    rank: int = 8,
    alpha: int = 16,
    grow: Sequence[str] = (),
    seed: int = 1,
    modules: Sequence[str] = LINEARS,
) -> Path:
    """Write a random LoRA adapter as PEFT saves one.

    Args:
        folder: where.
        base: the folder of its base model.
        rank: of its matrices.
        alpha: its `lora_alpha`.
        grow: special tokens that the base lacks. With any, the adapter has a tokenizer, and both
            vocabulary matrices whole. If `<|im_end|>` is among them it ends a text.
        seed: of its weights.
        modules: the linears that it changes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = load_json(base / "config.json")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    kv_heads, layers = config.get("num_key_value_heads", heads), config["num_hidden_layers"]
    head_dim = config.get("head_dim", hidden // heads)
    shape = Shape(hidden, layers, heads, kv_heads, head_dim, config["intermediate_size"])
    tensors: dict[str, Tensor] = {}

    def add(name: str, dtype: str, size: tuple[int, int]) -> None:
        key = f"base_model.model.{name}.weight"
        tensors[key] = Tensor(dtype, size, noise(seed, key, size, 0.02))

    for layer in range(layers):
        for name, (rows, columns) in linear_shapes(shape).items():
            if name in modules:
                add(f"model.layers.{layer}.{name}.lora_A", "F32", (rank, columns))
                add(f"model.layers.{layer}.{name}.lora_B", "F32", (rows, rank))
    if grow:
        copy_tokenizer(base, folder)
        size = max(config["vocab_size"], grow_tokenizer(folder, grow, special=True))
        if "<|im_end|>" in grow:
            for file in ("tokenizer_config.json", "special_tokens_map.json"):
                dump_json(folder / file, load_json(folder / file) | {"eos_token": "<|im_end|>"})
        add("model.embed_tokens", "BF16", (size, hidden))
        add("lm_head", "BF16", (size, hidden))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    settings = {
        "alpha_pattern": {},
        "base_model_name_or_path": f"example/{base.name}",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_alpha": alpha,
        "lora_dropout": 0.05,
        "modules_to_save": ["embed_tokens", "lm_head"] if grow else None,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": {},
        "revision": None,
        "target_modules": [name.split(".")[1] for name in modules],
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    dump_json(folder / "adapter_config.json", settings)
    return folder
