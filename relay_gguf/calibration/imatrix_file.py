"""An importance matrix in llama.cpp's form (tools/imatrix/imatrix.cpp, save_imatrix)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header
from relay_gguf.llama.activations.collector import ColumnSums
from relay_gguf.llama.activations.ggml_tensor import F32


def imatrix_bytes(
    sums: Mapping[str, ColumnSums], datasets: Sequence[str], *, n_chunks: int, n_ctx: int
) -> bytes:
    """The content of the file.

    Args:
        sums: of each weight.
        datasets: names of the texts.
        n_chunks: chunks that were read.
        n_ctx: tokens of a chunk.
    """
    text, number = ValueType.STRING, ValueType.UINT32
    metadata = {
        "general.type": Value("imatrix", text),
        "imatrix.datasets": Value(list(datasets), ValueType.ARRAY, text),
        "imatrix.chunk_count": Value(n_chunks, number),
        "imatrix.chunk_size": Value(n_ctx, number),
    }
    infos, data = [], bytearray()
    for name, entry in sorted(sums.items()):
        n_counts = len(entry.counts)
        for ending, values in (
            ("in_sum2", entry.squares.reshape(n_counts, -1)),
            ("counts", entry.counts.reshape(n_counts, 1)),
        ):
            shape = values.shape if n_counts > 1 else values.shape[1:]  # as ggml counts dimensions
            infos.append(TensorInfo(f"{name}.{ending}", shape, F32, len(data)))
            data += values.astype(np.float32).tobytes()
            data += bytes(-len(data) % 32)
    return pack_header(metadata, infos) + bytes(data)
