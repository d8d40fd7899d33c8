"""What a GGUF file is, by its head: name, sizes, types, memory. Its tensors are not read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from relay_gguf.errors import ModelError
from relay_gguf.fit.memory import DEFAULT_N_CTX, MemoryNeed, ModelSizes

from .header import Head, Info, Keys, read_head, readable
from .name import parts

COMPUTE: Final = 150 << 20
"""Bytes of llama.cpp's work space, about."""
SAMPLING: Final = "general.sampling."
RELAY: Final = "relay."
EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"
_BLOCK: Final = re.compile(r"blk\.(\d{1,5})\.")
_INPUT: Final = ("token_embd", "token_types", "position_embd")
MOST_ENTRIES: Final = 100
"""Base models or data sets that are read, at most."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file: its head and its bytes on the disk."""

    path: Path
    head: Head
    size: int

    @property
    def needed(self) -> int:
        """Bytes up to the end of its last tensor, which a whole file has."""
        ends = [info.offset + (tensor_bytes(info) or 0) for info in self.head.tensors]
        return self.head.size + max(ends) if ends else 0


@dataclass(frozen=True, slots=True)
class Share:
    """The tensors of a type."""

    kind: str
    count: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A model's file, or the parts that are there of a split one; `missing` are not."""

    parts: tuple[Part, ...]
    missing: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file, or the first part."""
        return self.parts[0].path

    @property
    def keys(self) -> Keys:
        """Those of the first part, which has all."""
        return self.parts[0].head.keys

    @property
    def tensors(self) -> list[Info]:
        """Of all parts."""
        return [info for part in self.parts for info in part.head.tensors]

    def check(self) -> None:
        """Refuse a model that is not all there.

        Raises:
            ModelError: a part is not there, or ends before its tensors do.
        """
        if self.missing:
            raise ModelError(
                f"{self.path} lacks {len(self.missing)} of its parts: {self.missing[0]} should be "
                "beside it. Download the model again."
            )
        for part in self.parts:
            if part.size < part.needed:
                raise ModelError(
                    f"{part.path} is truncated: it has {part.size:,} bytes of {part.needed:,}. "
                    "Download it again."
                )

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(part.size for part in self.parts)

    @property
    def architecture(self) -> str:
        """`llama`; empty where the file does not say."""
        return text(self.keys, "general.architecture")

    @property
    def ftype(self) -> str:
        """`Q4_K_M`, as the file says; empty where it does not."""
        value = whole(self.keys, "general.file_type")
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
    def types(self) -> list[Share]:
        """The types of tensors, the largest share first."""
        shares: dict[str, list[int]] = {}
        for info in self.tensors:
            shares.setdefault(type_name(info), []).append(tensor_bytes(info) or 0)
        found = [Share(kind, len(sizes), sum(sizes)) for kind, sizes in shares.items()]
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
        """Tokens that the file claims to read."""
        return whole(self.keys, f"{self.architecture}.context_length")

    @property
    def sampling(self) -> dict[str, Any]:
        """Sampling defaults by their short name: `temp`, `top_k`, ..."""
        return {
            name.removeprefix(SAMPLING): value.value
            for name, value in self.keys.items()
            if name.startswith(SAMPLING)
        }

    @property
    def origin(self) -> dict[str, str]:
        """What a conversion by relay-gguf noted: `source`, `adapter`, ..."""
        names = [name for name in self.keys if name.startswith(RELAY)]
        found = {name.removeprefix(RELAY): text(self.keys, name) for name in names}
        return {name: value for name, value in found.items() if value}

    def tensor(self, name: str) -> Info | None:
        """A tensor by its name."""
        return next((info for info in self.tensors if info.name == name), None)

    def memory(self, n_ctx: int = DEFAULT_N_CTX) -> MemoryNeed | None:
        """What the model takes with a context, about; None where its keys do not tell."""
        per_token = self._kv_bytes()
        if per_token is None:
            return None
        n_ctx = min(n_ctx, self.context_length or n_ctx)
        return MemoryNeed(self.weights, n_ctx * per_token, COMPUTE)

    def sizes(self) -> ModelSizes:
        """The parts that a plan puts on devices; `kv_width` 0 where the keys do not tell it."""
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
        return ModelSizes(
            str(self.path),
            tuple(blocks[number] for number in sorted(blocks)),
            embedding,
            output + embedding if tied else output,
            per_token / 2 / len(blocks) if blocks else 0.0,
            tied,
            max(0, self.context_length or 0) or 1 << 20,
            max(0, whole(self.keys, f"{arch}.embedding_length") or 0),
            max(0, *wholes(self.keys, f"{arch}.feed_forward_length"), 0),
            len(texts(self.keys, "tokenizer.ggml.tokens"))
            or max(0, whole(self.keys, f"{arch}.vocab_size") or 0),
            not any(size % 32 for size in self._head_sizes() or ()),
        )

    def _head_sizes(self) -> tuple[int, int] | None:
        """Values of a head's K and V; None where the keys do not tell."""
        arch = self.architecture
        width = whole(self.keys, f"{arch}.embedding_length")
        heads = wholes(self.keys, f"{arch}.attention.head_count")
        if not width or not heads or max(heads) < 1:
            return None
        usual = width // max(heads)
        key = whole(self.keys, f"{arch}.attention.key_length") or usual
        return key, whole(self.keys, f"{arch}.attention.value_length") or usual

    def _kv_bytes(self) -> int | None:
        """Bytes of F16 cache for a token; None for models that have another kind of memory."""
        arch = self.architecture
        others = (f"{arch}.ssm.", f"{arch}.wkv.", f"{arch}.attention.kv_lora_rank")
        n_layer = whole(self.keys, f"{arch}.block_count")
        sizes = self._head_sizes()
        if n_layer is None or sizes is None or any(name.startswith(others) for name in self.keys):
            return None
        kv_heads = wholes(self.keys, f"{arch}.attention.head_count_kv")
        kv_heads = kv_heads or wholes(self.keys, f"{arch}.attention.head_count")
        n_heads = kv_heads[0] * n_layer if len(kv_heads) == 1 else sum(kv_heads[:n_layer])
        n_bytes = 2 * sum(sizes) * n_heads
        return n_bytes if n_bytes > 0 else None  # below: a damaged head


def read_facts(path: Path) -> Facts:
    """Read the heads of a file and its other parts.

    Raises:
        ModelError: it is not there, no GGUF file, damaged, or a later part of a split one.
    """
    head = _head(path)
    number, count = whole(head.keys, "split.no"), whole(head.keys, "split.count")
    names = parts(path) if count and count > 1 else [path]
    if number:
        raise ModelError(
            f"{path} is part {number + 1} of {count}. The first part says what the model is: "
            f"name {names[0]}."
        )
    there = [part for part in names[1:] if part.exists()]
    found = [Part(path, head, path.stat().st_size)]
    found += [Part(part, _head(part), part.stat().st_size) for part in there]
    return Facts(tuple(found), tuple(part.name for part in names[1:] if part not in there))


def _head(path: Path) -> Head:
    with readable(path):
        return read_head(path)


def type_name(info: Info) -> str:
    """`Q4_K`; a type that is not known by its number."""
    try:
        return GGMLQuantizationType(info.ggml_type).name
    except ValueError:
        return f"type {info.ggml_type}"


def tensor_bytes(info: Info) -> int | None:
    """Bytes of a tensor's data; None for a type that is not known."""
    sizes = GGML_QUANT_SIZES.get(info.ggml_type)  # type: ignore[call-overload]
    if sizes is None:
        return None
    block, n_bytes = sizes
    return int(prod(info.shape) // block * n_bytes)


def text(keys: Keys, name: str) -> str:
    """A key's text; empty where there is none, or something else."""
    value = keys[name].value if name in keys else ""
    return value if isinstance(value, str) else ""


def texts(keys: Keys, name: str) -> list[str]:
    """A key's texts, one or several."""
    value = keys[name].value if name in keys else []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def whole(keys: Keys, name: str) -> int | None:
    """A key's whole number; None where there is none, or something else."""
    value = keys[name].value if name in keys else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def wholes(keys: Keys, name: str) -> list[int]:
    """A key's whole numbers, one or several."""
    value = keys[name].value if name in keys else []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


def entries(keys: Keys, kind: str) -> list[Mapping[str, str]]:
    """Name, repo_url, ... of each of the file's base models (`base_model`) or data sets."""
    count = min(whole(keys, f"general.{kind}.count") or 0, MOST_ENTRIES)
    prefixes = [f"general.{kind}.{number}." for number in range(count)]
    return [
        {name.removeprefix(prefix): text(keys, name) for name in keys if name.startswith(prefix)}
        for prefix in prefixes
    ]


def repo_of(entry: Mapping[str, str]) -> str:
    """`owner/name` on the hub of a base model or data set; empty where it is not there."""
    url = entry.get("repo_url", "")
    hub = "https://huggingface.co/"
    if not url.startswith(hub):
        return ""
    return url.removeprefix(hub).removeprefix("datasets/").strip("/")


def listed(items: Sequence[str]) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(items[:3])
    return shown + (f" and {len(items) - 3} more" if len(items) > 3 else "")
