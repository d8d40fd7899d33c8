"""Files over which llama.cpp ends the process: each is found, and nobody hands it to llama.cpp."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type
from tiny_gguf import TOKENS, good_keys, shard_keys, tensors, value, write

from relay_gguf import LlamaEngine
from relay_gguf.cli.convert.presets import preset_sizes
from relay_gguf.cli.models import _planned
from relay_gguf.convert.inspect.inspection import inspect
from relay_gguf.convert.inspect.rewrite import put_template
from relay_gguf.convert.quantize.ggml import check_opens, tokenizations
from relay_gguf.convert.quantize.mixture import planned_types
from relay_gguf.errors import ConversionError, ModelError, RelayError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.faults import faults, is_covered
from relay_gguf.gguf_file.gguf_model import read_gguf, tensor_bytes
from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header
from relay_gguf.llama.isolated.vocab_only import VocabOnly

Infos = list[TensorInfo]
GONE = object()


def written(path: Path, infos: Infos, **changes: Any) -> Path:
    """A file with other values of its keys, `block_count` of the Llama or `ggml.tokens`."""
    keys = {name: value(item) for name, item in good_keys().items()}
    for name, item in changes.items():
        key = f"tokenizer.{name}" if name.startswith("ggml.") else f"llama.{name}"
        keys[key] = item if isinstance(item, Value) else None if item is GONE else value(item)
    laid, offset = [], 0
    for info in infos:
        laid.append(replace(info, offset=offset))
        offset += -(-(tensor_bytes(info) or 0) // 32) * 32
    kept = {name: item for name, item in keys.items() if item is not None}
    path.write_bytes(pack_header(kept, laid) + bytes(offset))
    return path


def other(name: str, **changes: Any) -> Infos:
    """The tensors, one of them with another field."""
    return [replace(info, **changes) if info.name == name else info for info in tensors()]


def without(name: str) -> Infos:
    return [info for info in tensors() if info.name != name]


FAULTS: dict[str, tuple[dict[str, Any], Infos, str]] = {
    # what ended the process
    "no blocks": ({"block_count": 0}, tensors(), "llama.block_count is 0; llama.cpp takes 1 to"),
    "513 blocks": ({"block_count": 513}, tensors(), "llama.block_count is 513; llama.cpp takes"),
    "many blocks": ({"block_count": 100_000}, tensors(), "llama.block_count is 100000; llama.cpp"),
    "experts": ({"expert_count": 4}, tensors(), "llama.expert_count is 4, and none is used"),
    "many experts": ({"expert_count": 1 << 31}, tensors(), "llama.expert_count is 2147483648; ll"),
    "used experts": ({"expert_used_count": 5}, tensors(), "llama.expert_used_count is 5, and th"),
    "groups": (
        {"expert_count": 6, "expert_used_count": 2, "expert_group_count": 4},
        tensors(),
        "llama: 6 experts in 4 groups, of which 0 are used",
    ),
    "scaling": ({"rope.scaling.type": "odd"}, tensors(), "llama.rope.scaling.type is 'odd'; "),
    "epsilon": (
        {"attention.layer_norm_rms_epsilon": math.nan},
        tensors(),
        "llama.attention.layer_norm_rms_epsilon is nan; it must be 0 or more",
    ),
    "SentencePiece": (
        {"ggml.model": "llama"},
        tensors(),
        "The vocabulary is SentencePiece's and has no token for",
    ),
    "twice": (
        {"ggml.tokens": [*TOKENS[:6], "a", "d"]},
        tensors(),
        "The token 'a' is there twice: llama.cpp ends with an assertion",
    ),
    "twice, after a NUL": (
        {"ggml.tokens": [*TOKENS[:6], "d\0x", "d"]},
        tensors(),
        "The token 'd' is there twice",
    ),
    "kv heads": ({"attention.head_count_kv": 3}, tensors(), "llama.attention.head_count_kv is 3"),
    "no heads": ({"attention.head_count": 0}, tensors(), "llama.attention.head_count is 0"),
    "two lengths": (
        {"attention.value_length": 8},
        tensors(),
        "llama.attention.value_length is 8, and key_length 16",
    ),
    "an odd head": (
        {"attention.head_count": 32, "attention.head_count_kv": 16, "rope.dimension_count": 1},
        tensors(),
        "A head has 1 values, which RoPE cannot turn in pairs",
    ),
    "integers": (
        {},
        other("blk.0.ffn_up.weight", ggml_type=int(Type.I32)),
        "blk.0.ffn_up.weight is I32, with which llama.cpp cannot compute",
    ),
    "a norm in F16": (
        {},
        other("output_norm.weight", ggml_type=int(Type.F16)),
        "output_norm.weight is F16, with which llama.cpp cannot compute",
    ),
    # what llama.cpp refuses
    "context": ({"context_length": 0}, tensors(), "llama.context_length is 0; it must be 1"),
    "width": (
        {"embedding_length": 64, "rope.dimension_count": 32},
        tensors(),
        "token_embd.weight is 8 × 32 and should be 8 × 64",
    ),
    "rope": ({"rope.dimension_count": 7}, tensors(), "llama.rope.dimension_count is 7; it must"),
    "feed-forward": ({"feed_forward_length": 65}, tensors(), "blk.0.ffn_gate.weight is 64 × 32"),
    "signed": (
        {"embedding_length": Value(32, ValueType.INT32)},
        tensors(),
        "llama.embedding_length is of type INT32 and should be UINT32",
    ),
    "by block": ({"feed_forward_length": [64, 64]}, tensors(), "llama.feed_forward_length has 2 v"),
    "too few blocks": ({"block_count": 2}, tensors(), "The tensor blk.1.attn_norm.weight and 8 "),
    "a tensor gone": ({}, without("blk.0.attn_v.weight"), "The tensor blk.0.attn_v.weight is "),
    "a block more": (
        {},
        [*tensors(), TensorInfo("blk.7.attn_norm.weight", (32,), 0, 0)],
        "There are tensors of block 7, and llama.block_count is 1",
    ),
    "a shape": (
        {},
        other("blk.0.attn_k.weight", shape=(32, 32)),
        "blk.0.attn_k.weight is 32 × 32 and should be 16 × 32",
    ),
    "a row": (
        {},
        other("blk.0.attn_q.weight", ggml_type=int(Type.Q4_K)),
        "blk.0.attn_q.weight has rows of 32 values, and Q4_K has blocks of 256",
    ),
    "merges": ({"ggml.merges": GONE}, tensors(), "tokenizer.ggml.merges is missing"),
    "types": ({"ggml.token_type": [3, 3, 3]}, tensors(), "3 of 8 tokens have a type"),
    "scores": ({"ggml.scores": [0.5]}, tensors(), "1 of 8 tokens have a score"),
    "a byte": ({"ggml.token_type": [3, 3, 3, 1, 1, 1, 1, 6]}, tensors(), "The token 'd' is marked"),
    "an id": (
        {"ggml.bos_token_id": Value(0, ValueType.INT32)},
        tensors(),
        "tokenizer.ggml.bos_token_id is of type INT32 and should be UINT32",
    ),
    "rows": (
        {"ggml.tokens": TOKENS[:7], "ggml.token_type": [3, 3, 3, 1, 1, 1, 1]},
        tensors(),
        "There are 7 tokens and 8 rows of embedding",
    ),
}  # fmt: skip
COMMANDS: dict[str, Callable[[Path], object]] = {
    "chat": LlamaEngine,
    "chat with workers": VocabOnly,
    "plan": lambda path: _planned(str(path), LoadOptions()),
    "template --write": lambda path: list(put_template(path)),
    "convert": lambda path: check_opens([path]),
}


@pytest.mark.parametrize(("changes", "infos", "text"), FAULTS.values(), ids=FAULTS)
def test_what_ends_llama_cpp_is_found_and_refused(
    changes: dict[str, Any], infos: Infos, text: str, tmp_path: Path
) -> None:
    """By inspect, by each command that hands the file to llama.cpp; this process goes on."""
    path = written(tmp_path / "tiny.gguf", infos, **changes)
    model, before = read_gguf(path), path.read_bytes()
    assert next(faults(model)).text.startswith(text)
    problems = [found.text for found in inspect(model) if found.level == "problem"]
    assert any(problem.startswith(text) for problem in problems)
    for command, run in COMMANDS.items():
        with pytest.raises((ModelError, ConversionError)) as refusal:
            run(path)
        assert re.search(f"tiny.gguf.*{re.escape(text)}", str(refusal.value)), command
    with suppress(RelayError):  # it looks at the keys alone
        preset_sizes(str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_later_shard_without_its_number_is_refused(tmp_path: Path) -> None:
    """llama.cpp asserts the type of the number."""
    infos = tensors()
    second = replace(infos[-1], offset=0)
    first = write(
        tmp_path / "x-00001-of-00002.gguf", good_keys() | shard_keys(0, 2, 12), infos[:-1]
    )
    for keys in ({"split.no": 1}, {}):
        write(tmp_path / "x-00002-of-00002.gguf", keys, [second])
        with pytest.raises(ModelError, match=r"x-00002-of-00002\.gguf has no split\.no of"):
            LlamaEngine(first)


@pytest.mark.parametrize("blocks", [0, 513])
def test_the_sizes_of_a_presets_files_are_refused_too(blocks: int, tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", tensors(), block_count=blocks)
    with pytest.raises(ModelError, match=f"llama.block_count is {blocks}; llama.cpp takes 1 to"):
        preset_sizes(str(path))
    with pytest.raises(ConversionError, match=f"cannot plan Q8_0: llama.block_count is {blocks}"):
        planned_types(path, "Q8_0")


def test_a_sound_file_is_covered_and_read(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", tensors())
    model = read_gguf(path)
    assert list(faults(model)) == []
    assert is_covered(model)
    check_opens([path])
    assert tokenizations([path], ["ab"]) == [[4, 5]]


@pytest.mark.parametrize(
    ("changes", "infos"),
    [
        ({"rope.scaling.type": "longrope"}, tensors()),
        ({"attention.sliding_window": 8}, tensors()),
        ({"attention.head_count": [2]}, tensors()),
        ({"ggml.model": "rwkv"}, tensors()),
        ({"ggml.pre": "new"}, tensors()),
        ({"ggml.suppress_tokens": [1]}, tensors()),
        ({}, [*tensors(), TensorInfo("blk.0.attn_q.scale", (1,), 0, 0)]),
        ({}, other("output.weight", ggml_type=999)),
    ],
    ids=["scaling", "key", "array", "vocabulary", "words", "list", "tensor", "type"],
)  # fmt: skip
def test_what_no_check_knows_is_not_covered(
    changes: dict[str, Any], infos: Infos, tmp_path: Path
) -> None:
    model = read_gguf(written(tmp_path / "tiny.gguf", infos, **changes))
    assert list(faults(model)) == []
    assert not is_covered(model)


def test_a_bos_that_is_not_there_does_no_harm(tmp_path: Path) -> None:
    """The file asks for it, llama.cpp has none, and ends the process when asked for its text."""
    path = written(tmp_path / "tiny.gguf", tensors(), **{"ggml.bos_token_id": 99})
    with LlamaEngine(path, n_threads=1) as engine:
        assert engine.control.bos is None
