"""A GGUF file as the base of an adapter: Hugging Face's names, and rows in Hugging Face's order.

The inverse of what `arch` does: an adapter, and the 4-bit round trip, know the base only so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from relay_gguf.convert.read.checkpoint import Array, TensorInfo
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Keys

from .llama import MAX_CONTEXT, Llama, unpermute
from .weights import FACTORS, GgufWeights, Tensor

ARCHITECTURE: Final = "llama"
MODULES: Final = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What llama.cpp calls the parts of a Llama, and what Hugging Face does."""
ROTATED: Final = ("attn_q", "attn_k")
"""Their rows are in another order: see `arch.permute`."""


class GgufBase:
    """The tensors of a GGUF file, as a `Checkpoint` would have them."""

    def __init__(self, path: Path, *, allow_requantize: bool = False) -> None:
        """Read the header.

        Args:
            path: the file.
            allow_requantize: take it also where it is quantized.

        Raises:
            ConversionError: it is no Llama, cannot be read, or is quantized.
            ModelError: it is no GGUF file.
        """
        self.path = path
        self.weights = GgufWeights(path, allow_requantize=allow_requantize)
        self._by_name = {tensor.name: tensor for tensor in self.weights.tensors}
        self.llama = read_llama(self.weights.keys, self._by_name, path)
        self._stored: dict[str, Tensor] = {}
        self.infos: Mapping[str, TensorInfo] = self._read_infos()

    @property
    def factors(self) -> Array | None:
        """By what its frequencies are divided, if it has a tensor for that."""
        tensor = self._by_name.get(FACTORS)
        return None if tensor is None else self.weights.open(tensor)(0, tensor.shape[0]).rows

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor, in Hugging Face's order.

        Raises:
            ConversionError: there is no such tensor.
        """
        if name not in self._stored:
            raise ConversionError(f"{self.path} has no tensor {name}.")
        tensor = self._stored[name]
        read = self.weights.open(tensor)
        stop = tensor.shape[0] if stop is None else stop
        if _kind(tensor.name) not in ROTATED:
            return read(start, stop).rows
        head = self.llama.head_dim
        first = start // head * head  # whole heads: their rows are mixed
        last = -(-stop // head) * head
        return unpermute(read(first, last).rows, head)[start - first : stop - first]

    def check_readable(self, names: Iterable[str]) -> None:
        """Nothing: the types were looked at when the header was read."""

    def _read_infos(self) -> dict[str, TensorInfo]:
        infos = {}
        for tensor in self.weights.tensors:
            if tensor.name == FACTORS:
                continue
            name = _name(tensor.name)
            if name is None:
                raise ConversionError(
                    f"{self.path} has a tensor {tensor.name}, which a Llama does not have."
                )
            if _kind(tensor.name) in ROTATED and tensor.shape[0] % self.llama.head_dim:
                raise ConversionError(
                    f"{self.path}: {tensor.name} has {tensor.shape[0]} rows, which are no whole "
                    f"heads of {self.llama.head_dim}."
                )
            self._stored[name] = tensor
            infos[name] = TensorInfo(name, self.weights.type_of(tensor).name, tensor.shape)
        return infos


def check_architecture(keys: Keys, path: Path) -> None:
    """See to it that a file is a Llama.

    Raises:
        ConversionError: it is something else.
    """
    found = keys["general.architecture"].value if "general.architecture" in keys else "none"
    if found != ARCHITECTURE:
        raise ConversionError(f"{path} is of the architecture {found}; llama can be converted.")


def read_llama(keys: Keys, tensors: Mapping[str, Tensor], path: Path) -> Llama:
    """What a file's keys say; without its rotations, whose keys are taken over as they are.

    Raises:
        ConversionError: it is of another architecture, or lacks a size.
    """
    check_architecture(keys, path)

    def size(name: str, left_out: int | None = None) -> int:
        key = keys.get(f"{ARCHITECTURE}.{name}")
        value = left_out if key is None else key.value
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < MAX_CONTEXT:
            raise ConversionError(
                f"{path}: {ARCHITECTURE}.{name} is {value!r}; it must be a whole number."
            )
        return value

    if "token_embd.weight" not in tensors:
        raise ConversionError(f"{path} has no token_embd.weight.")
    hidden, heads = size("embedding_length"), size("attention.head_count")
    return Llama(
        block_count=size("block_count"),
        context_length=size("context_length"),
        embedding_length=hidden,
        feed_forward_length=size("feed_forward_length"),
        head_count=heads,
        head_count_kv=size("attention.head_count_kv", heads),
        head_dim=size("attention.key_length", hidden // heads),
        vocab_size=tensors["token_embd.weight"].shape[0],
        rms_norm_eps=0.0,
        tied="output.weight" not in tensors,
        rope={},
    )


def _kind(name: str) -> str:
    """`attn_q` for `blk.7.attn_q.weight`."""
    return name.rpartition(".")[0].rpartition(".")[2]


def _name(name: str) -> str | None:
    """`model.layers.7.self_attn.q_proj.weight` for `blk.7.attn_q.weight`; None for an unknown."""
    module, _, ending = name.rpartition(".")
    block, _, kind = module.rpartition(".")
    if kind not in MODULES or ending not in ("weight", "bias"):
        return None
    if not block:
        return f"{MODULES[kind]}.{ending}"
    word, _, number = block.partition(".")
    known = word == "blk" and number.isdecimal()
    return f"model.layers.{number}.{MODULES[kind]}.{ending}" if known else None
