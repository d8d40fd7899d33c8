"""A model's GGUF file as its header describes it: sizes, types, memory. No tensor data is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from relay_gguf.errors import ModelError
from relay_gguf.fit.memory import DEFAULT_N_CTX, MemoryNeed, ModelSizes

from .header import Header, Metadata, TensorInfo, read_header
from .name import shard_paths
from .values import integer, integers, text, texts

COMPUTE: Final = 150 << 20
"""Bytes of llama.cpp's compute buffer, about."""
SAMPLING: Final = "general.sampling."
RELAY: Final = "relay."
EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"
_BLOCK: Final = re.compile(r"blk\.(\d{1,5})\.")
_INPUT: Final = ("token_embd", "token_types", "position_embd")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of a model: its header, and its size on the disk in bytes."""

    path: Path
    header: Header
    size: int

    @property
    def needed(self) -> int:
        """Bytes up to the end of its last tensor: a file that is shorter is truncated."""
        ends = [info.offset + (tensor_bytes(info) or 0) for info in self.header.tensors]
        return self.header.size + max(ends) if ends else 0


@dataclass(frozen=True, slots=True)
class TypeShare:
    """The tensors of one type: its name, how many there are, and their bytes."""

    name: str
    count: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A model's file, or its shards; `missing` names the shards that are not on the disk."""

    shards: tuple[Shard, ...]
    missing: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file, or the first shard."""
        return self.shards[0].path

    @property
    def metadata(self) -> Metadata:
        """The metadata of the first shard; the others have none of the model's."""
        return self.shards[0].header.metadata

    @property
    def tensors(self) -> list[TensorInfo]:
        """The tensor infos of all shards."""
        return [info for shard in self.shards for info in shard.header.tensors]

    def check(self) -> None:
        """Refuse a model that is incomplete.

        Raises:
            ModelError: a shard is missing or truncated.
        """
        if self.missing:
            raise ModelError(
                f"{self.path} lacks {len(self.missing)} of its shards: {self.missing[0]} should be "
                "beside it. Download the model again."
            )
        for shard in self.shards:
            if shard.size < shard.needed:
                raise ModelError(
                    f"{shard.path} is truncated: it has {shard.size:,} bytes of {shard.needed:,}. "
                    "Download it again."
                )

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(shard.size for shard in self.shards)

    @property
    def architecture(self) -> str:
        """`llama`; empty where the file has no `general.architecture`."""
        return text(self.metadata, "general.architecture")

    @property
    def ftype(self) -> str:
        """The file type, `Q4_K_M`; empty where `general.file_type` is absent or unknown."""
        value = integer(self.metadata, "general.file_type")
        try:
            return (
                LlamaFileType(-1 if value is None else value)
                .name.removeprefix("MOSTLY_")
                .removeprefix("ALL_")
            )
        except ValueError:
            return ""

    @property
    def n_parameters(self) -> int:
        """Values of all tensors."""
        return sum(prod(info.shape) for info in self.tensors)

    @property
    def types(self) -> list[TypeShare]:
        """The types of tensors, those with the most bytes first."""
        shares: dict[str, list[int]] = {}
        for info in self.tensors:
            shares.setdefault(type_name(info), []).append(tensor_bytes(info) or 0)
        found = [TypeShare(name, len(sizes), sum(sizes)) for name, sizes in shares.items()]
        return sorted(found, key=lambda share: -share.n_bytes)

    @property
    def weights(self) -> int:
        """Bytes of all tensors."""
        return sum(share.n_bytes for share in self.types)

    @property
    def bits(self) -> float:
        """Bits per weight."""
        return 8 * self.weights / self.n_parameters if self.n_parameters else 0.0

    @property
    def context_length(self) -> int | None:
        """Tokens of context, as the file claims them; None where it does not."""
        return integer(self.metadata, f"{self.architecture}.context_length")

    @property
    def sampling(self) -> dict[str, Any]:
        """Sampling defaults by their short name: `temp`, `top_k`, ..."""
        return {
            name.removeprefix(SAMPLING): value.value
            for name, value in self.metadata.items()
            if name.startswith(SAMPLING)
        }

    @property
    def origin(self) -> dict[str, str]:
        """What a conversion by relay-gguf noted in `relay.*`: `source`, `adapter`, ..."""
        names = [name for name in self.metadata if name.startswith(RELAY)]
        found = {name.removeprefix(RELAY): text(self.metadata, name) for name in names}
        return {name: value for name, value in found.items() if value}

    def tensor(self, name: str) -> TensorInfo | None:
        """The tensor info of that name; None where there is none."""
        return next((info for info in self.tensors if info.name == name), None)

    def memory(self, n_ctx: int = DEFAULT_N_CTX) -> MemoryNeed | None:
        """Bytes that the model takes with a context of `n_ctx` tokens, about.

        None where the metadata does not tell the size of its KV cache.
        """
        per_token = self._kv_bytes()
        if per_token is None:
            return None
        n_ctx = min(n_ctx, self.context_length or n_ctx)
        return MemoryNeed(self.weights, n_ctx * per_token, COMPUTE)

    def sizes(self) -> ModelSizes:
        """The sizes that a plan places on devices; `kv_width` is 0 where the metadata lacks it."""
        blocks: dict[int, int] = {}
        embedding = output = 0
        for info in self.tensors:
            n_bytes = tensor_bytes(info) or 0
            if block := _BLOCK.match(info.name):
                blocks[int(block[1])] = blocks.get(int(block[1]), 0) + n_bytes
            elif info.name.startswith(_INPUT):
                embedding += n_bytes
            else:
                output += n_bytes
        tied = self.tensor(OUTPUT) is None
        arch, per_token = self.architecture, self._kv_bytes() or 0
        n_tokens = len(texts(self.metadata, "tokenizer.ggml.tokens"))
        return ModelSizes(
            name=str(self.path),
            blocks=tuple(blocks[number] for number in sorted(blocks)),
            embedding=embedding,
            output=output + embedding if tied else output,
            kv_width=per_token / 2 / len(blocks) if blocks else 0.0,
            tied=tied,
            n_ctx_train=max(0, self.context_length or 0) or 1 << 20,
            n_embd=max(0, integer(self.metadata, f"{arch}.embedding_length") or 0),
            n_ff=max(0, *integers(self.metadata, f"{arch}.feed_forward_length"), 0),
            n_vocab=n_tokens or max(0, integer(self.metadata, f"{arch}.vocab_size") or 0),
            blocks_of_32=not any(size % 32 for size in self._head_sizes() or ()),
        )

    def _head_sizes(self) -> tuple[int, int] | None:
        """Values of an attention head's K and of its V; None where the metadata lacks them."""
        arch = self.architecture
        width = integer(self.metadata, f"{arch}.embedding_length")
        heads = integers(self.metadata, f"{arch}.attention.head_count")
        if not width or not heads or max(heads) < 1:
            return None
        usual = width // max(heads)
        key = integer(self.metadata, f"{arch}.attention.key_length") or usual
        return key, integer(self.metadata, f"{arch}.attention.value_length") or usual

    def _kv_bytes(self) -> int | None:
        """Bytes of F16 KV cache for a token; None for models with another kind of memory."""
        arch = self.architecture
        others = (f"{arch}.ssm.", f"{arch}.wkv.", f"{arch}.attention.kv_lora_rank")
        n_layer = integer(self.metadata, f"{arch}.block_count")
        sizes = self._head_sizes()
        if (
            n_layer is None
            or sizes is None
            or any(name.startswith(others) for name in self.metadata)
        ):
            return None
        kv_heads = integers(self.metadata, f"{arch}.attention.head_count_kv")
        kv_heads = kv_heads or integers(self.metadata, f"{arch}.attention.head_count")
        n_heads = kv_heads[0] * n_layer if len(kv_heads) == 1 else sum(kv_heads[:n_layer])
        n_bytes = 2 * sum(sizes) * n_heads
        return n_bytes if n_bytes > 0 else None  # below: a damaged header


def read_gguf(path: Path) -> GgufModel:
    """Read the headers of a file and of its other shards.

    Raises:
        ModelError: the file does not exist, is not a GGUF file, is damaged, or is a later shard
            than the first.
    """
    header = read_header(path)
    number = integer(header.metadata, "split.no")
    count = integer(header.metadata, "split.count")
    paths = shard_paths(path) if count and count > 1 else [path]
    if number:
        raise ModelError(
            f"{path} is shard {number + 1} of {count}. The first shard says what the model is: "
            f"name {paths[0]}."
        )
    found = [path, *(other for other in paths[1:] if other.exists())]
    headers = [header, *map(read_header, found[1:])]
    return GgufModel(
        tuple(
            Shard(shard, its_header, shard.stat().st_size)
            for shard, its_header in zip(found, headers, strict=True)
        ),
        tuple(other.name for other in paths[1:] if other not in found),
    )


def type_name(info: TensorInfo) -> str:
    """The name of a tensor's type, `Q4_K`; its number where the type is unknown."""
    try:
        return GGMLQuantizationType(info.ggml_type).name
    except ValueError:
        return f"type {info.ggml_type}"


def tensor_bytes(info: TensorInfo) -> int | None:
    """Bytes of a tensor's data; None where its type is unknown."""
    sizes = GGML_QUANT_SIZES.get(info.ggml_type)  # type: ignore[call-overload]
    if sizes is None:
        return None
    block, n_bytes = sizes
    return int(prod(info.shape) // block * n_bytes)
