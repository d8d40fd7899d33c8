"""What llama.cpp refuses in a file's metadata, or ends the process over: a rule for each key.

The rules are those of llama.cpp's src/llama-model.cpp (load_hparams), which reads these keys for
every architecture. What only one architecture reads is not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .gguf_model import GgufModel
from .header import Value, ValueType
from .values import integer, integers

LLAMA: Final = "llama"
MOST_BLOCKS: Final = 512
MOST_EXPERTS: Final = 1024
ROPE_SCALINGS: Final = ("none", "linear", "yarn", "longrope")


@dataclass(frozen=True, slots=True)
class KeyRule:
    """The values that llama.cpp takes for a key: of one type, from `low` to `high`.

    `by_block` allows an array of a value for each block; `choices` are the texts that it knows.
    """

    kind: ValueType
    low: float = -math.inf
    high: float = math.inf
    needed: bool = False
    by_block: bool = False
    choices: tuple[str, ...] = ()


_COUNT: Final = KeyRule(ValueType.UINT32)
_COUNTS: Final = KeyRule(ValueType.UINT32, by_block=True)
_FLOAT: Final = KeyRule(ValueType.FLOAT32)
_FLAG: Final = KeyRule(ValueType.BOOL)
_EPSILON: Final = KeyRule(ValueType.FLOAT32, low=0)  # ggml asserts it at the first token

CONTEXT_RULES: Final[Mapping[str, KeyRule]] = {
    "context_length": KeyRule(ValueType.UINT32, low=1, needed=True),
}
KEY_RULES: Final[Mapping[str, KeyRule]] = {
    "block_count": KeyRule(ValueType.UINT32, low=1, high=MOST_BLOCKS, needed=True),
    "embedding_length": KeyRule(ValueType.UINT32, low=1, needed=True),
    "feed_forward_length": _COUNTS,
    "vocab_size": _COUNT,
    "expert_count": KeyRule(ValueType.UINT32, high=MOST_EXPERTS),
    "expert_used_count": _COUNTS,
    "expert_group_count": _COUNT,
    "expert_group_used_count": _COUNT,
    "nextn_predict_layers": _COUNT,
    "attention.head_count": _COUNTS,
    "attention.head_count_kv": _COUNTS,
    "attention.key_length": _COUNT,
    "attention.value_length": _COUNT,
    "attention.causal": _FLAG,
    "attention.layer_norm_rms_epsilon": _EPSILON,
    "attention.layer_norm_epsilon": _EPSILON,
    "attention.group_norm_epsilon": _EPSILON,
    "rope.dimension_count": _COUNT,
    "rope.freq_base": _FLOAT,
    "rope.scale_linear": _FLOAT,
    "rope.scaling.type": KeyRule(ValueType.STRING, choices=ROPE_SCALINGS),
    "rope.scaling.factor": _FLOAT,
    "rope.scaling.attn_factor": _FLOAT,
    "rope.scaling.alpha": _FLOAT,
    "rope.scaling.finetuned": _FLAG,
    "rope.scaling.original_context_length": _COUNT,
}
"""Keys without the architecture's name before them."""
GENERAL_RULES: Final[Mapping[str, KeyRule]] = {
    "general.name": KeyRule(ValueType.STRING),
    "general.file_type": _COUNT,
    "split.no": KeyRule(ValueType.UINT16),
    "split.count": KeyRule(ValueType.UINT16),
    "split.tensors.count": KeyRule(ValueType.INT32),
}
"""Whole keys that do not depend on the architecture."""
TOKEN_KEYS: Final[Mapping[str, KeyRule]] = {
    "tokenizer.ggml.model": KeyRule(ValueType.STRING, needed=True),
    "tokenizer.ggml.pre": KeyRule(ValueType.STRING),
    "tokenizer.ggml.token_type_count": _COUNT,
    **{
        f"tokenizer.ggml.{name}_token_id": _COUNT
        for name in (
            *("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask"),
            *("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"),
            *("prefix", "suffix", "middle"),
        )
    },
    "tokenizer.ggml.add_bos_token": _FLAG,
    "tokenizer.ggml.add_eos_token": _FLAG,
    "tokenizer.ggml.add_sep_token": _FLAG,
    "tokenizer.ggml.add_space_prefix": _FLAG,
    "tokenizer.ggml.remove_extra_whitespaces": _FLAG,
}
"""Whole keys of the vocabulary, but for its arrays."""


def context_faults(model: GgufModel) -> Iterator[str]:
    """The context length is missing, or is not a length."""
    yield from _by_rules(model, CONTEXT_RULES, f"{model.architecture}.")


def key_faults(model: GgufModel) -> Iterator[str]:
    """Keys that are missing, of another type, or out of range."""
    yield from _by_rules(model, GENERAL_RULES, "")
    for shard in model.shards[1:]:
        number = shard.header.metadata.get("split.no")
        if number is None or number.kind is not ValueType.UINT16:
            yield f"{shard.path.name} has no split.no of type UINT16"
    yield from _by_rules(model, KEY_RULES, f"{model.architecture}.")


def token_key_faults(model: GgufModel) -> Iterator[str]:
    """The same for the keys of the vocabulary."""
    yield from _by_rules(model, TOKEN_KEYS, "")


def expert_faults(model: GgufModel) -> Iterator[str]:
    """Experts that are used and not there, or that do not divide into groups."""
    arch, metadata = model.architecture, model.metadata

    def count(name: str) -> int:
        return integer(metadata, f"{arch}.{name}") or 0

    n_experts = count("expert_count")
    n_used = max(integers(metadata, f"{arch}.expert_used_count"), default=0)
    if n_used > n_experts:
        yield f"{arch}.expert_used_count is {n_used}, and there are {n_experts} experts"
    elif n_experts and not n_used:
        yield f"{arch}.expert_count is {n_experts}, and none is used (expert_used_count)"
    groups, used = count("expert_group_count"), count("expert_group_used_count")
    if groups and groups >= n_experts:
        yield f"{arch}.expert_group_count is {groups}, and there are {n_experts} experts"
    elif groups > 1 and (n_experts % groups or not 0 < used < groups):
        yield f"{arch}: {n_experts} experts in {groups} groups, of which {used} are used"
    if count("nextn_predict_layers") > (blocks := count("block_count")):
        yield f"{arch}.nextn_predict_layers is more than {arch}.block_count, which is {blocks}"


def head_faults(model: GgufModel) -> Iterator[str]:
    """Attention heads that do not divide what they should; of a Llama alone."""
    metadata = model.metadata
    if model.architecture != LLAMA:
        return
    if (epsilon := f"{LLAMA}.attention.layer_norm_rms_epsilon") not in metadata:
        yield f"{epsilon} is missing"
    counts = {
        name: integers(metadata, f"{LLAMA}.attention.{name}")
        for name in ("head_count", "head_count_kv")
    }
    n_heads = counts["head_count"][0] if counts["head_count"] else 0
    if n_heads < 1:
        yield f"{LLAMA}.attention.head_count is {n_heads if counts['head_count'] else 'missing'}"
        return
    n_kv = counts["head_count_kv"][0] if counts["head_count_kv"] else n_heads
    if n_kv < 1 or n_heads % n_kv:
        yield (
            f"{LLAMA}.attention.head_count_kv is {n_kv}, which does not divide the {n_heads} heads"
        )
    width = integer(metadata, f"{LLAMA}.embedding_length") or 0
    key, value, rotated = head_sizes(metadata, width // n_heads)
    if value != key:
        yield f"{LLAMA}.attention.value_length is {value}, and key_length {key}; a Llama has one"
    if rotated != key:
        yield f"{LLAMA}.rope.dimension_count is {rotated}; it must be a head's length, {key}"
    elif key % 2 or not key:
        yield f"A head has {key} values, which RoPE cannot turn in pairs"


def head_sizes(metadata: Mapping[str, Value], usual: int) -> tuple[int, int, int]:
    """Values of a Llama's head in K and in V, and how many of them RoPE turns."""

    def size(name: str, default: int) -> int:
        found = integer(metadata, f"{LLAMA}.{name}")
        return default if found is None else found

    key = size("attention.key_length", usual)
    return key, size("attention.value_length", usual), size("rope.dimension_count", key)


def _by_rules(model: GgufModel, rules: Mapping[str, KeyRule], prefix: str) -> Iterator[str]:
    for name, rule in rules.items():
        key = f"{prefix}{name}"
        value = model.metadata.get(key)
        if value is None:
            if rule.needed:
                yield f"{key} is missing"
        elif not _has_type(value, rule):
            yield f"{key} is of type {_type(value)} and should be {rule.kind.name}"
        else:
            items = value.value if isinstance(value.value, list) else [value.value]
            n_blocks = integer(model.metadata, f"{model.architecture}.block_count")
            if value.item is not None and len(items) != n_blocks:
                yield f"{key} has {len(items)} values for {n_blocks} blocks"
            elif wrong := [item for item in items if not _in_range(item, rule)]:
                yield f"{key} is {_shown(wrong[0])}{_wanted(rule)}"


def _has_type(value: Value, rule: KeyRule) -> bool:
    if value.kind is ValueType.ARRAY:
        return rule.by_block and value.item in (ValueType.UINT32, ValueType.INT32)
    return value.kind is rule.kind


def _type(value: Value) -> str:
    return value.kind.name if value.item is None else f"{value.kind.name} of {value.item.name}"


def _in_range(item: Any, rule: KeyRule) -> bool:
    if isinstance(item, str):
        return not rule.choices or item in rule.choices
    return math.isfinite(item) and rule.low <= item <= rule.high


def _shown(item: Any) -> str:
    return repr(item[:40]) if isinstance(item, str) else f"{item}"


def _wanted(rule: KeyRule) -> str:
    """What llama.cpp takes, as the end of a sentence."""
    if rule.choices:
        return f"; llama.cpp knows {', '.join(rule.choices)}"
    if rule.high < math.inf:
        return f"; llama.cpp takes {max(rule.low, 0):g} to {rule.high:g}"
    return f"; it must be {rule.low:g} or more" if rule.low > -math.inf else ""
