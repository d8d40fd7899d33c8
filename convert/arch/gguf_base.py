"""A GGUF file as the base of an adapter: Hugging Face's names, and rows in Hugging Face's order.

The inverse of `arch.llama`: an adapter and the round trip through NF4 know the base by these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.checkpoint import CheckpointTensor
from relay_gguf.convert.read.weight_file import StoredTensor
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata

from .llama import MAX_CONTEXT, Llama, unpermute
from .weights import FACTORS, GgufWeights, Tensor

ARCHITECTURE: Final = "llama"
ADAPTER: Final = "adapter"
"""The `general.type` of a LoRA in a GGUF file."""
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
"""llama.cpp's names of the modules of a Llama → Hugging Face's."""
ROTATED: Final = ("attn_q", "attn_k")
"""Modules whose rows are in another order: see `arch.llama.permute`."""


class GgufBase:
    """The tensors of a GGUF file, read like those of a `Checkpoint`."""

    def __init__(self, path: Path, *, allow_requantize: bool = False) -> None:
        """Read the header.

        Args:
            path: the file.
            allow_requantize: accept a file that is quantized.

        Raises:
            ConversionError: the file is not a Llama, is quantized, or has tensors that cannot be
                read.
            ModelError: the file does not exist, or is not a GGUF file.
        """
        self.path = path
        self.weights = GgufWeights(path, allow_requantize=allow_requantize)
        self._by_name = {tensor.name: tensor for tensor in self.weights.tensors}
        self.llama = read_llama(self.weights.metadata, self._by_name, path)
        self._stored: dict[str, Tensor] = {}
        self.infos: Mapping[str, CheckpointTensor] = self._read_infos()

    @property
    def factors(self) -> Array | None:
        """The divisors of RoPE's frequencies; None where the file has no tensor of them."""
        tensor = self._by_name.get(FACTORS)
        return None if tensor is None else self.weights.open(tensor)(0, tensor.shape[0]).rows

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor, in Hugging Face's order.

        Raises:
            ConversionError: the file has no tensor of that name.
        """
        if name not in self._stored:
            raise ConversionError(f"{self.path} has no tensor {name}.")
        tensor = self._stored[name]
        read = self.weights.open(tensor)
        stop = tensor.shape[0] if stop is None else stop
        if module_of(tensor.name) not in ROTATED:
            return read(start, stop).rows
        head = self.llama.head_dim
        first = start // head * head  # whole heads: their rows are mixed
        last = -(-stop // head) * head
        return unpermute(read(first, last).rows, head)[start - first : stop - first]

    def check_readable(self, names: Iterable[str]) -> None:
        """Does nothing: the types were checked when the header was read."""

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """Nothing: the file is not safetensors."""
        return iter(())

    def _read_infos(self) -> dict[str, CheckpointTensor]:
        infos = {}
        for tensor in self.weights.tensors:
            if tensor.name == FACTORS:
                continue
            name = hugging_face_name(tensor.name)
            if name is None:
                raise ConversionError(
                    f"{self.path} has a tensor {tensor.name}, which a Llama does not have."
                )
            if module_of(tensor.name) in ROTATED and tensor.shape[0] % self.llama.head_dim:
                raise ConversionError(
                    f"{self.path}: {tensor.name} has {tensor.shape[0]} rows, which do not "
                    f"divide into heads of {self.llama.head_dim}."
                )
            self._stored[name] = tensor
            infos[name] = CheckpointTensor(name, self.weights.type_of(tensor).name, tensor.shape)
        return infos


def check_architecture(metadata: Metadata, path: Path) -> None:
    """Refuse a file of another architecture than llama.

    Raises:
        ConversionError: it has another one, or none.
    """
    found = metadata.get("general.architecture")
    if found is None or found.value != ARCHITECTURE:
        name = "none" if found is None else found.value
        raise ConversionError(f"{path} is of the architecture {name}; only llama can be converted.")


def check_model(metadata: Metadata, path: Path) -> None:
    """Refuse a file that is not a model of the architecture llama.

    Raises:
        ConversionError: it is an adapter, or of another architecture.
    """
    kind = metadata.get("general.type")
    if kind is not None and kind.value == ADAPTER:
        raise ConversionError(f"{path} is an adapter: give it as --adapter, behind its base.")
    check_architecture(metadata, path)


def read_llama(metadata: Metadata, tensors: Mapping[str, Tensor], path: Path) -> Llama:
    """The hyperparameters in a file's metadata, but for RoPE's, which are copied as they are.

    Raises:
        ConversionError: the file is of another architecture, or a size is missing or wrong.
    """
    check_model(metadata, path)

    def size(name: str, default: int | None = None) -> int:
        found = metadata.get(f"{ARCHITECTURE}.{name}")
        value = default if found is None else found.value
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


def module_of(name: str) -> str:
    """`attn_q` for `blk.7.attn_q.weight`."""
    return name.rpartition(".")[0].rpartition(".")[2]


def hugging_face_name(name: str) -> str | None:
    """`model.layers.7.self_attn.q_proj.weight` for `blk.7.attn_q.weight`; None if unknown."""
    module, _, ending = name.rpartition(".")
    block, _, kind = module.rpartition(".")
    if kind not in MODULES or ending not in ("weight", "bias"):
        return None
    if not block:
        return f"{MODULES[kind]}.{ending}"
    word, _, number = block.partition(".")
    known = word == "blk" and number.isdecimal()
    return f"model.layers.{number}.{MODULES[kind]}.{ending}" if known else None
