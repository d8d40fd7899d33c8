"""Llama models of a few kilobytes that read letters: eight tokens, random weights in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from tiny_gguf import good_keys, value

from relay_gguf.gguf_file.header import TensorInfo, pack_header

WIDTH, N_FF, N_BLOCKS = 32, 64, 2


def write_letters(path: Path, *, n_experts: int = 0, spoil: float = 1.0, **keys: Any) -> Path:
    """Write a model; its path.

    Args:
        path: the file.
        n_experts: in each block, of which a token goes to two; 0 is a model without.
        spoil: a value to write over the norm before the first attention.
        keys: of the header, a dot as two underscores; None leaves one out.
    """
    rng = np.random.default_rng(11)
    given = good_keys() | {
        "llama.block_count": N_BLOCKS,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": N_FF,
        "llama.context_length": 512,
        "general.file_type": 0,
    }
    if n_experts:
        given |= {"llama.expert_count": n_experts, "llama.expert_used_count": 2}
    given |= {name.replace("__", "."): item for name, item in keys.items()}
    infos: list[TensorInfo] = []
    data = bytearray()

    def tensor(name: str, *shape: int) -> None:
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.3)
        if len(shape) == 1:
            values = np.full(shape, spoil if name == "blk.0.attn_norm" else 1, np.float32)
        infos.append(TensorInfo(f"{name}.weight", shape, int(Type.F32), len(data)))
        data.extend(values.tobytes())
        data.extend(bytes(-len(data) % 32))

    tensor("token_embd", 8, WIDTH)
    tensor("output", 8, WIDTH)
    tensor("output_norm", WIDTH)
    for block in range(N_BLOCKS):
        at = f"blk.{block}."
        tensor(f"{at}attn_norm", WIDTH)
        tensor(f"{at}ffn_norm", WIDTH)
        tensor(f"{at}attn_q", WIDTH, WIDTH)
        tensor(f"{at}attn_k", WIDTH // 2, WIDTH)
        tensor(f"{at}attn_v", WIDTH // 2, WIDTH)
        tensor(f"{at}attn_output", WIDTH, WIDTH)
        if n_experts:
            tensor(f"{at}ffn_gate_inp", n_experts, WIDTH)
            tensor(f"{at}ffn_gate_exps", n_experts, N_FF, WIDTH)
            tensor(f"{at}ffn_up_exps", n_experts, N_FF, WIDTH)
            tensor(f"{at}ffn_down_exps", n_experts, WIDTH, N_FF)
        else:
            tensor(f"{at}ffn_gate", N_FF, WIDTH)
            tensor(f"{at}ffn_up", N_FF, WIDTH)
            tensor(f"{at}ffn_down", WIDTH, N_FF)
    kept = {name: value(item) for name, item in given.items() if item is not None}
    path.write_bytes(pack_header(kept, infos) + bytes(data))
    return path


def letters(count: int) -> str:
    """A text of the letters that these models know."""
    rng = np.random.default_rng(12)
    return "".join(rng.choice(list("abcd\n"), count))
