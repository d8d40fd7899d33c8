"""Bytes that a model takes in memory, computed from the numbers in its file's header."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay_gguf.errors import SettingsError

GIB: Final = 1 << 30
MIB: Final = 1 << 20
DEFAULT_N_CTX: Final = 4096
"""Tokens that Relay was trained on. Headers lie: Mistral-Nemo's says 1,024,000."""
N_CTX_STEP: Final = 256
"""llama.cpp pads a context to a multiple of this (src/llama-context.cpp)."""
KV_TYPES: Final[Mapping[str, float]] = {"f16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes of a value in the KV cache: q8_0 and q4_0 have blocks of 32 values and a scale."""
PROCESS: Final = 64 * MIB
"""Bytes of Python, our modules and llama.cpp's own tables (measured on Linux)."""
PER_TOKEN: Final = 400
"""Bytes of a token in llama.cpp's vocabulary (measured: 20 MB for 49,152 tokens)."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes of a loaded model on all devices: weights, KV cache, compute buffers."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.kv + self.compute


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Bytes of a model's parts; `kv_width` is the values of K and V per token and layer."""

    name: str
    blocks: tuple[int, ...]
    embedding: int
    output: int
    kv_width: float
    tied: bool = False  # the output matrix is the embedding: in RAM there is one copy
    n_ctx_train: int = 1 << 20
    n_embd: int = 0
    n_ff: int = 0
    n_vocab: int = 0
    blocks_of_32: bool = True  # of its K and V rows, so that they can be q8_0 or q4_0

    @property
    def n_layers(self) -> int:
        """Layers that can be put on a GPU: all blocks, and the output."""
        return len(self.blocks) + 1

    @property
    def weights(self) -> int:
        """Bytes of all weights, a tied output counted once."""
        return sum(self.blocks) + self.embedding + self.apart

    @property
    def apart(self) -> int:
        """Bytes that the output takes beside the embedding, in RAM: if tied, only its norm."""
        return self.output - self.embedding if self.tied else self.output

    def scaled(self, factor: float) -> ModelSizes:
        """The same model with weights `factor` times as large."""
        return replace(
            self,
            blocks=tuple(int(block * factor) for block in self.blocks),
            embedding=int(self.embedding * factor),
            output=int(self.output * factor),
        )

    def kv(self, n_blocks: int, n_ctx: int, kv_type: str) -> int:
        """Bytes of the KV cache of `n_blocks` blocks for a context of `n_ctx` tokens."""
        return int(n_blocks * self.kv_width * KV_TYPES[kv_type] * padded(n_ctx))

    def compute_buffer(self, n_ctx: int, n_ubatch: int) -> int:
        """Bytes of llama.cpp's compute buffer, estimated for `n_ubatch` tokens.

        The widest places are the feed-forward and the attention's projections; beside them lie a
        mask of 2 bytes for each pair of positions and one row of logits. Of what llama.cpp reserves
        on a CPU it is 94 to 134 % (or 1 MiB more), for 135M to 70B parameters, f16 to q4_0, 2048 to
        8192 tokens.
        """
        widest = max(4 * self.n_ff + self.n_embd, 12 * self.n_embd)
        return n_ubatch * (4 * widest + 2 * padded(n_ctx)) + 4 * self.n_vocab

    def more_rows(self, n_rows: int) -> int:
        """Bytes that more than one row of logits takes: where they are computed, and a copy."""
        return 8 * (n_rows - 1) * self.n_vocab

    @property
    def process(self) -> int:
        """Bytes that the program takes in RAM beside the model."""
        return PROCESS + PER_TOKEN * self.n_vocab


def binary(n_bytes: int) -> str:
    """A number of bytes as text, `7.3 GiB` or `212 MiB`, in powers of 1024 as memory is sold."""
    return f"{n_bytes / GIB:.1f} GiB" if abs(n_bytes) >= GIB else f"{n_bytes / MIB:.0f} MiB"


def n_bytes(text: str) -> int:
    """The bytes of a text like `4G` or `512 MiB`, in powers of 1024: the reverse of `binary`.

    Raises:
        SettingsError: it is not a size, or it is 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    found = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if not found:
        raise SettingsError(f"{text!r} is not a size of memory: write 4G or 512M.")
    return found


def padded(n_ctx: int) -> int:
    """The context length that llama.cpp makes when asked for `n_ctx` tokens."""
    return -(-n_ctx // N_CTX_STEP) * N_CTX_STEP


def layers_by_device(n_layers: int, splits: Sequence[float]) -> list[int]:
    """The number of layers that llama.cpp puts on each device, given its `tensor_split`.

    Its rule (src/llama-model.cpp, load_tensors): layer i goes to the first device whose cumulated
    share is over i / n_layers.
    """
    running, sums = 0.0, []
    for split in splits:
        running = _float32(running + _float32(split))
        sums.append(running)
    bounds = [_float32(part / running) for part in sums]
    counts = [0] * len(splits)
    for i in range(n_layers):
        at = _float32(i / n_layers)
        counts[next((d for d, b in enumerate(bounds) if b > at), len(splits) - 1)] += 1
    return counts


def _float32(value: float) -> float:
    """A number rounded to float32, in which llama.cpp computes shares."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)
