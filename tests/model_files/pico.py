"""Tiny random Llama models with SmolLM2's real tokenizer, made in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

from relay_gguf.gguf_file.header import read_header


@cache
def tokenizer_of(path: Path) -> dict[str, Any]:
    """The tokenizer.* keys of a GGUF file."""
    keys = read_header(path).metadata
    return {name: key.value for name, key in keys.items() if name.startswith("tokenizer.")}


def write_pico(
    path: Path,
    tokenizer_from: Path | Mapping[str, Any],
    *,
    arch: str = "llama",
    n_layer: int = 2,
    n_embd: int = 64,
    n_ctx_train: int = 8192,
    add_bos: bool = False,
    bos: int | None = None,
    pre: str | None = None,
    without: tuple[str, ...] = (),
    spoil: float | None = None,
    texts: Mapping[str, str] | None = None,
    n_vocab: int | None = None,
    noise: float = 0.0,
) -> Path:
    """Write a random float32 model; its path.

    Args:
        path: the file.
        tokenizer_from: a GGUF file whose tokenizer is taken, or its keys.
        arch: what the file says that it is.
        n_layer: its blocks.
        n_embd: its width, a multiple of 16.
        n_ctx_train: the context length in its header.
        add_bos: whether its header asks for a BOS token.
        bos: its BOS token, if not that of the tokenizer's file.
        pre: its pre-tokenizer, if not that of the tokenizer's file.
        without: tokens whose text is replaced, as if the vocabulary lacked them.
        spoil: a value to write over the output norm.
        texts: further keys, such as general.name.
        n_vocab: its tokens, if not all of the tokenizer's; its own 273 are the control tokens and
            the bytes.
        noise: how much its weights differ from those of another such model, relative to them.
    """
    rng, noisy = np.random.default_rng(7), np.random.default_rng(8)
    writer = GGUFWriter(path, arch)
    n_head, n_head_kv, n_ff = 4, 2, n_embd * 2
    writer.add_block_count(n_layer)
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(n_embd)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_head_count_kv(n_head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(n_embd // n_head)
    keys = tokenizer_of(tokenizer_from) if isinstance(tokenizer_from, Path) else tokenizer_from
    for name, said in (texts or {}).items():
        writer.add_string(name, said)
    tokens = [
        f"gone{i}" if t in without else t
        for i, t in enumerate(keys["tokenizer.ggml.tokens"][:n_vocab])
    ]
    merges = keys["tokenizer.ggml.merges"]
    if n_vocab is not None:
        known = set(tokens)
        merges = [merge for merge in merges if merge.replace(" ", "") in known]
    writer.add_tokenizer_model(keys["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(pre or keys["tokenizer.ggml.pre"])
    writer.add_token_list(tokens)
    writer.add_token_types(keys["tokenizer.ggml.token_type"][:n_vocab])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(keys["tokenizer.ggml.bos_token_id"] if bos is None else bos)
    writer.add_eos_token_id(keys["tokenizer.ggml.eos_token_id"])
    writer.add_add_bos_token(add_bos)

    def tensor(name: str, *shape: int, scale: float = 1.0) -> None:
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        if noise:
            values += noisy.standard_normal(shape, dtype=np.float32) * np.float32(scale * noise)
        writer.add_tensor(name, values)

    width, kv = n_embd, n_embd // n_head * n_head_kv
    tensor("token_embd.weight", len(tokens), width)
    for block in range(n_layer):
        writer.add_tensor(f"blk.{block}.attn_norm.weight", np.ones(width, dtype=np.float32))
        writer.add_tensor(f"blk.{block}.ffn_norm.weight", np.ones(width, dtype=np.float32))
        tensor(f"blk.{block}.attn_q.weight", width, width, scale=0.3)
        tensor(f"blk.{block}.attn_k.weight", kv, width, scale=0.3)
        tensor(f"blk.{block}.attn_v.weight", kv, width, scale=0.3)
        tensor(f"blk.{block}.attn_output.weight", width, width, scale=0.3)
        tensor(f"blk.{block}.ffn_gate.weight", n_ff, width, scale=0.2)
        tensor(f"blk.{block}.ffn_up.weight", n_ff, width, scale=0.2)
        tensor(f"blk.{block}.ffn_down.weight", width, n_ff, scale=0.2)
    norm = np.full(width, 1.0 if spoil is None else spoil, dtype=np.float32)
    writer.add_tensor("output_norm.weight", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
