"""What a model takes in memory: arithmetic on numbers that a file's head gives, in bytes."""

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
"""Bytes for a value of the KV cache: q8_0 and q4_0 have blocks of 32 values and a scale."""
PROCESS: Final = 64 * MIB
"""What Python, our modules and llama.cpp's own tables take (measured on Linux)."""
PER_TOKEN: Final = 400
"""Bytes that llama.cpp's vocabulary takes for a token (measured: 20 MB for 49,152)."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a loaded model takes."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.kv + self.compute


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The parts of a model: `blocks` by layer, `kv_width` values of K and V a token and layer."""

    name: str
    blocks: tuple[int, ...]
    embedding: int
    output: int
    kv_width: float
    tied: bool = False  # the output is the embedding: in RAM it is there once
    n_ctx_train: int = 1 << 20
    n_embd: int = 0
    n_ff: int = 0
    n_vocab: int = 0
    blocks_of_32: bool = True  # of its K and V: only these can be q8_0 or q4_0

    @property
    def n_layers(self) -> int:
        """Layers that can be put on a GPU: all blocks, and the output."""
        return len(self.blocks) + 1

    @property
    def weights(self) -> int:
        """All of it, once."""
        return sum(self.blocks) + self.embedding + self.apart

    @property
    def apart(self) -> int:
        """What the output takes beside the embedding, in RAM: of a tied one, its norm."""
        return self.output - self.embedding if self.tied else self.output

    def scaled(self, factor: float) -> ModelSizes:
        """The same model with weights of another size."""
        return replace(
            self,
            blocks=tuple(int(block * factor) for block in self.blocks),
            embedding=int(self.embedding * factor),
            output=int(self.output * factor),
        )

    def kv(self, n_blocks: int, n_ctx: int, kv_type: str) -> int:
        """The KV cache of some blocks for a context of `n_ctx` tokens."""
        return int(n_blocks * self.kv_width * KV_TYPES[kv_type] * padded(n_ctx))

    def compute_buffer(self, n_ctx: int, n_ubatch: int) -> int:
        """llama.cpp's compute buffer, about: what a graph of `n_ubatch` tokens needs at its widest.

        The widest places are the feed-forward and the attention's projections; beside them lie a
        mask of 2 bytes for each pair of positions and one row of logits. Of what llama.cpp reserves
        on a CPU it is 94 to 134 % (or 1 MiB more), for 135M to 70B parameters, f16 to q4_0, 2048 to
        8192 tokens.
        """
        widest = max(4 * self.n_ff + self.n_embd, 12 * self.n_embd)
        return n_ubatch * (4 * widest + 2 * padded(n_ctx)) + 4 * self.n_vocab

    @property
    def process(self) -> int:
        """What the program takes beside the model."""
        return PROCESS + PER_TOKEN * self.n_vocab


def binary(n_bytes: int) -> str:
    """`7.3 GiB`, `212 MiB`: memory in powers of 1024, as it is sold."""
    return f"{n_bytes / GIB:.1f} GiB" if abs(n_bytes) >= GIB else f"{n_bytes / MIB:.0f} MiB"


def n_bytes(text: str) -> int:
    """What `4G` or `512 MiB` are, in powers of 1024: the other way round of `binary`.

    Raises:
        SettingsError: it is no size, or none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    found = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if not found:
        raise SettingsError(f"{text!r} is no size of memory: 4G and 512M are.")
    return found


def padded(n_ctx: int) -> int:
    """The context that llama.cpp makes of one that is asked for."""
    return -(-n_ctx // N_CTX_STEP) * N_CTX_STEP


def layers_by_device(n_layers: int, splits: Sequence[float]) -> list[int]:
    """How many of `n_layers` llama.cpp puts on each device, given its `tensor_split`.

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
    """The nearest of C's floats, in which llama.cpp counts: 0.1 + 0.2 is 0.3 there."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)
