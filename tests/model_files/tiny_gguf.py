"""GGUF files of a few kilobytes, sound ones and such with faults; their tensors are zeros."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Type

from relay_gguf.convert.template import relay_template
from relay_gguf.gguf_file.gguf_model import tensor_bytes
from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header

TOKENS = ["<s>", "<|im_start|>", "<|im_end|>", "\n", *"abcd"]


def value(given: Any) -> Value:
    """A key's value, of the type that converters write, unless it has one."""
    if isinstance(given, Value):
        return given
    if isinstance(given, list):
        item = value(given[0]).kind if given else ValueType.STRING
        return Value(given, ValueType.ARRAY, ValueType.INT32 if item is ValueType.UINT32 else item)
    kinds = {
        bool: ValueType.BOOL,
        int: ValueType.UINT32,
        float: ValueType.FLOAT32,
        str: ValueType.STRING,
    }
    kind = kinds[type(given)]
    return Value(given, ValueType.INT32 if kind is ValueType.UINT32 and given < 0 else kind)


def good_keys() -> dict[str, Any]:
    """A sound Relay model of one layer and eight tokens."""
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Tiny Relay",
        "general.author": "Nobody",
        "general.license": "cc-by-nc-4.0",
        "general.quantized_by": "relay-gguf 0.1.0",
        "general.base_model.count": 1,
        "general.base_model.0.name": "Tiny",
        "general.base_model.0.repo_url": "https://huggingface.co/o/tiny",
        "general.languages": ["en", "de"],
        "general.sampling.temp": 0.3,
        "general.sampling.top_k": 40,
        "general.sampling.penalty_repeat": 1.1,
        "general.sampling.penalty_last_n": 4096,
        "general.sampling.sequence": "penalties;temperature;top_k;top_p;min_p",
        "llama.block_count": 1,
        "llama.context_length": 131072,
        "llama.embedding_length": 32,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 16,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3, 3, 3, 1, 1, 1, 1, 1],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": relay_template(),
        "relay.source": "o/tiny",
        "relay.adapter": "o/tiny-relay",
        "relay.merge_base": "nf4-double",
        "general.file_type": 7,
    }


def tensors(output: Type | None = Type.F32, embedding: Type = Type.Q8_0) -> list[TensorInfo]:
    """Their tensors, one behind the other."""
    shapes = {
        "token_embd": (8, 32),
        "output": (8, 32),
        "output_norm": (32,),
        "blk.0.attn_norm": (32,),
        "blk.0.attn_q": (32, 32),
        "blk.0.attn_k": (16, 32),
        "blk.0.attn_v": (16, 32),
        "blk.0.attn_output": (32, 32),
        "blk.0.ffn_norm": (32,),
        "blk.0.ffn_gate": (64, 32),
        "blk.0.ffn_up": (64, 32),
        "blk.0.ffn_down": (32, 64),
    }
    kinds = {"token_embd": embedding, "output": output}
    infos: list[TensorInfo] = []
    offset = 0
    for name, shape in shapes.items():
        kind = kinds.get(name, Type.F32)
        if kind is not None:
            infos.append(TensorInfo(f"{name}.weight", shape, int(kind), offset))
            offset += -(-(tensor_bytes(infos[-1]) or 0) // 32) * 32
    return infos


def shard_keys(number: int, count: int, n_tensors: int) -> dict[str, Value]:
    """The keys of a shard, of the types that llama.cpp wants."""
    return {
        "split.no": Value(number, ValueType.UINT16),
        "split.count": Value(count, ValueType.UINT16),
        "split.tensors.count": Value(n_tensors, ValueType.INT32),
    }


def write(
    path: Path,
    keys: Mapping[str, Any] | None = None,
    infos: list[TensorInfo] | None = None,
    lacking: int = 0,
) -> Path:
    """Write a file of zeros, some bytes too short."""
    given = good_keys() if keys is None else keys
    infos = tensors() if infos is None else infos
    head = pack_header({name: value(item) for name, item in given.items()}, infos)
    end = max((info.offset + (tensor_bytes(info) or 0) for info in infos), default=0)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + end - lacking)
    return path
