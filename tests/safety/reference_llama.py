"""A Llama in numpy and 64 bits, from the tensors of a GGUF file: logits to compare with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader


def last_logits(path: Path, ids: list[int], n_head: int = 4, n_head_kv: int = 2) -> Any:
    """The logits (n_vocab,) behind the last of `ids`."""
    weights = _weights(path)
    embedding = weights["token_embd.weight"]
    x = embedding[ids]
    n_block = sum(name.endswith("attn_q.weight") for name in weights)
    for block in range(n_block):
        w = {k.split(".", 2)[2]: v for k, v in weights.items() if k.startswith(f"blk.{block}.")}
        x = x + _attention(_norm(x) * w["attn_norm.weight"], w, n_head, n_head_kv)
        y = _norm(x) * w["ffn_norm.weight"]
        gate = y @ w["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w["ffn_up.weight"].T)) @ w["ffn_down.weight"].T
    return embedding @ (_norm(x[-1:]) * weights["output_norm.weight"])[0]


@cache
def _weights(path: Path) -> dict[str, Any]:
    return {t.name: np.array(t.data, np.float64) for t in GGUFReader(path).tensors}


def _norm(x: Any) -> Any:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)


def _attention(x: Any, w: dict[str, Any], n_head: int, n_head_kv: int) -> Any:
    n = len(x)
    q = _turned((x @ w["attn_q.weight"].T).reshape(n, n_head, -1))
    k = _turned((x @ w["attn_k.weight"].T).reshape(n, n_head_kv, -1))
    v = (x @ w["attn_v.weight"].T).reshape(n, n_head_kv, -1)
    k, v = (np.repeat(one, n_head // n_head_kv, axis=1) for one in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", scores, v).reshape(n, -1) @ w["attn_output.weight"].T


def _turned(x: Any) -> Any:
    """Rotary positions, of neighbouring values."""
    n, _, size = x.shape
    angle = np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return out
