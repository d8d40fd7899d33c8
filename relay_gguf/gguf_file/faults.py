"""The checks of a file by which llama.cpp refuses it or ends the process, and what they cover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .gguf_model import GgufModel, tensor_bytes
from .header import ValueType
from .key_faults import (
    CONTEXT_RULES,
    KEY_RULES,
    LLAMA,
    TOKEN_KEYS,
    context_faults,
    expert_faults,
    head_faults,
    key_faults,
    token_key_faults,
)
from .tensor_faults import NO_TOKENS, llama_tensors, tensor_faults
from .token_faults import BYTE_LEVEL, SENTENCEPIECE, token_faults
from .values import text

Part = Literal["keys", "tensors", "vocabulary"]


@dataclass(frozen=True, slots=True)
class FileFault:
    """Why llama.cpp does not read a file, or ends over it; `check` names the kind of fault."""

    check: str
    text: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A check: the part of a file that it looks at, the name that findings have, its faults."""

    part: Part
    name: str
    faults: Callable[[GgufModel], Iterator[str]]


CHECKS: Final = (
    FileCheck("keys", "context", context_faults),
    FileCheck("keys", "header", key_faults),
    FileCheck("keys", "header", expert_faults),
    FileCheck("keys", "header", head_faults),
    FileCheck("tensors", "tensors", tensor_faults),
    FileCheck("vocabulary", "vocabulary", token_key_faults),
    FileCheck("vocabulary", "vocabulary", token_faults),
)
ALL: Final[tuple[Part, ...]] = ("keys", "tensors", "vocabulary")
VOCABULARY: Final[tuple[Part, ...]] = ("vocabulary",)
PRE_TOKENIZERS: Final = (
    *("", "default", "llama3", "llama-v3", "llama-bpe", "tekken", "smollm", "gpt-2", "qwen2"),
    *("deepseek-llm", "deepseek-coder", "deepseek-v3", "deepseek-r1-qwen", "starcoder", "falcon"),
    *("falcon3", "command-r", "stablelm2", "olmo", "dbrx", "exaone", "gpt-4o", "refact", "phi-2"),
)
"""Pre-tokenizers (tokenizer.ggml.pre) that llama.cpp has long known."""
_LISTS: Final = ("tokens", "token_type", "scores", "merges")


def faults(model: GgufModel, parts: tuple[Part, ...] = ALL) -> Iterator[FileFault]:
    """What is wrong with a file, or with parts of it."""
    for check in CHECKS:
        if check.part in parts:
            yield from (FileFault(check.name, what) for what in check.faults(model))


def is_covered(model: GgufModel, parts: tuple[Part, ...] = ALL) -> bool:
    """Whether `faults` look at all that llama.cpp reads of a file's parts.

    That is so for a dense Llama with a vocabulary of SentencePiece or byte-level BPE, without keys
    or tensors that are not in the tables. What llama.cpp makes of others is not known here.
    """
    return (
        model.architecture == LLAMA
        and ("keys" not in parts or _keys_are_covered(model))
        and ("tensors" not in parts or _tensors_are_covered(model))
        and ("vocabulary" not in parts or _vocabulary_is_covered(model))
    )


def _keys_are_covered(model: GgufModel) -> bool:
    known = {f"{LLAMA}.{name}" for name in (*CONTEXT_RULES, *KEY_RULES)}
    own = {key: value for key, value in model.metadata.items() if key.startswith(f"{LLAMA}.")}
    return (
        own.keys() <= known
        and not any(value.kind is ValueType.ARRAY for value in own.values())
        and text(model.metadata, f"{LLAMA}.rope.scaling.type") != "longrope"
    )


def _tensors_are_covered(model: GgufModel) -> bool:
    expected = llama_tensors(model)
    if expected is None:
        return False
    known = expected.needed.keys() | expected.allowed.keys()
    return {info.name for info in model.tensors} <= known and not any(
        tensor_bytes(info) is None for info in model.tensors
    )


def _vocabulary_is_covered(model: GgufModel) -> bool:
    kind = text(model.metadata, "tokenizer.ggml.model")
    known = {*TOKEN_KEYS, *(f"tokenizer.ggml.{name}" for name in _LISTS)}
    own = {key for key in model.metadata if key.startswith("tokenizer.ggml.")}
    # llama.cpp wants certain tokens of a model that is called Phi-3.
    is_phi = "phi" in text(model.metadata, "general.name").lower()
    return (
        own <= known
        and not is_phi
        and (
            kind in (*NO_TOKENS, SENTENCEPIECE)
            or (kind == BYTE_LEVEL and text(model.metadata, "tokenizer.ggml.pre") in PRE_TOKENIZERS)
        )
    )
