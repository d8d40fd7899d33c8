"""Models that are no more than llama.cpp's choice of types depends on.

It chooses by names, sizes of rows and counts of layers and heads: these have all of that, and two
rows of each matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from numpy.typing import NDArray
from tiny_gguf import good_keys, value

from relay_gguf import __version__
from relay_gguf.gguf_file.header import TensorInfo, pack_header

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Outline:
    """What llama.cpp's choice of types depends on."""

    columns: int = 256
    layers: int = 9  # some mixes change every eighth
    heads: int = 2
    kv_heads: int = 2
    experts: int = 0
    tied: bool = False


OUTLINES = {
    "one head for each": Outline(),
    "eight heads for one": Outline(layers=2, heads=8, kv_heads=1, tied=True),
    "eight experts": Outline(layers=2, heads=8, experts=8),
    "odd rows": Outline(columns=288, layers=2, tied=True),
}
IMATRIX = "noise.imatrix"


def tensors(outline: Outline) -> dict[str, tuple[int, ...]]:
    rows = (2, outline.columns)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": rows, "output_norm": rows[1:]}
    if not outline.tied:
        shapes["output"] = rows
    for layer in range(outline.layers):
        names = ["attn_q", "attn_k", "attn_v", "attn_output"]
        shapes |= {f"blk.{layer}.{name}": rows for name in names}
        ffn = ["ffn_gate", "ffn_up", "ffn_down"]
        if outline.experts:
            shapes[f"blk.{layer}.ffn_gate_inp"] = rows
            shapes |= {f"blk.{layer}.{name}_exps": (outline.experts, *rows) for name in ffn}
        else:
            shapes |= {f"blk.{layer}.{name}": rows for name in ffn}
        shapes[f"blk.{layer}.attn_norm"] = rows[1:]
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def write_outline(path: Path, outline: Outline) -> Path:
    """Write a GGUF file in float32 that has this much of a model."""
    keys: dict[str, Any] = good_keys() | {
        "llama.block_count": outline.layers,
        "llama.embedding_length": outline.columns,
        "llama.feed_forward_length": outline.columns,
        "llama.attention.head_count": outline.heads,
        "llama.attention.head_count_kv": outline.kv_heads,
        "llama.rope.dimension_count": outline.columns // outline.heads,
        "general.file_type": 0,
        # As a conversion writes them, so that whole files are compared.
        "general.quantized_by": f"relay-gguf {__version__}",
        "quantize.imatrix.file": IMATRIX,
        "quantize.imatrix.dataset": "noise",
        "quantize.imatrix.entries_count": len(importance(outline)),
        "quantize.imatrix.chunks_count": 1,
    }
    if outline.experts:
        keys |= {"llama.expert_count": outline.experts, "llama.expert_used_count": 2}
    rng = np.random.default_rng(3)
    infos, data = [], b""
    for name, shape in tensors(outline).items():
        infos.append(TensorInfo(name, shape, int(Type.F32), len(data)))
        data += rng.normal(size=shape).astype(np.float32).tobytes()
    head = pack_header({name: value(item) for name, item in keys.items()}, infos)
    path.write_bytes(head + data)
    return path


def importance(outline: Outline) -> dict[str, Floats]:
    """Weights for every matrix of the layers, for each expert's by itself."""
    rng = np.random.default_rng(5)
    return {
        name: rng.gamma(0.5, size=(shape[0] if len(shape) > 2 else 1, shape[-1]))
        .astype(np.float32)
        .reshape(-1)
        for name, shape in tensors(outline).items()
        if len(shape) > 1 and name.startswith("blk.") and "_inp" not in name
    }


def write_imatrix(path: Path, outline: Outline) -> Path:
    """Write these weights as llama-imatrix does."""
    writer = GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["noise"])
    writer.add_uint32("imatrix.chunk_count", 1)
    for name, values in importance(outline).items():
        sums = values.reshape(-1, outline.columns)
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.ones((len(sums), 1), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@dataclass(frozen=True)
class Model:
    """A model, and its importance matrix in memory and in a file."""

    path: Path
    weights: Mapping[str, Floats]
    imatrix: Path
