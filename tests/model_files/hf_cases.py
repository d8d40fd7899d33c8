"""The model folders of golden/convert/hf, one function each; its README says what they show."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hf_models import PICO, TINY, Shape, write_mistral, write_smollm2
from hf_tokenizers import BYTE_LEVEL, write_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "convert" / "hf"
Case = Callable[[Path, Path], Path]
"""(where its folder is made, SmolLM2's GGUF file) → the folder."""

CARD = """\
---
license: cc-by-nc-4.0
base_model:
- mistralai/Mistral-Nemo-Base-2407
datasets:
- example/relay-v0.2
- https://huggingface.co/datasets/example/other
language:
- en
tags:
- chat
- qlora
library_name: transformers
pipeline_tag: text-generation
---

# A model card
"""
GENERATION = {"temperature": 0.3, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "max_length": 4096}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32768,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}


def _template(bos: str, number: int) -> dict[str, Any]:
    """A post-processor that puts BOS first, as that of Mistral-Nemo does."""
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    second = {"SpecialToken": {"id": bos, "type_id": 1}}
    a, b = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first, a],
        "pair": [first, a, second, b],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }


def _smollm2(root: Path, gguf: Path) -> Path:
    return write_smollm2(root / "SmolLM2-135M-Instruct", gguf)


def _random(
    name: str, shape: Shape, root: Path, gguf: Path, *, source: str = "", **arguments: Any
) -> Path:
    """A folder of random weights, with the tokenizer of `gguf` or of a golden folder."""
    tokenizer = GOLDEN / source
    if not source:
        tokenizer = root / "tokenizer"
        if not tokenizer.exists():
            write_tokenizer(tokenizer, gguf)
    return write_mistral(root / name, tokenizer, shape, **arguments)


def _pico(name: str, **arguments: Any) -> Case:
    return partial(_random, name, PICO, **arguments)


def _tiny(name: str, **arguments: Any) -> Case:
    return partial(_random, name, TINY, **arguments)


LLAMA = "LlamaForCausalLM"
BOS: dict[str, Any] = {
    "tokenizer_changes": {"post_processor": _template("<|im_start|>", 1)},
    "tokenizer_config": {"add_bos_token": True, "add_eos_token": False},
}
SPM_IDS = {"bos_token_id": 1, "eos_token_id": 2}
NO_BOS = {"add_bos_token": False}
CASES: dict[str, Case] = {
    "smollm2": _smollm2,
    "mistral": _pico(
        "Mistral-Pico-Base-2407",
        add_tokens=["<|relay_start|>", "<|relay_end|>"],
        card=CARD,
        generation=GENERATION,
        shard_bytes=30_000_000,
    ),
    "llama3": partial(
        _random,
        "Llama-3.1-10M-Chat",
        Shape(192, 2, 3, 1, 64, 384),
        arch=LLAMA,
        dtype="F16",
        tied=True,
        bias=True,
        rope_scaling=LLAMA3_ROPE,
        config={"head_dim": None, "rope_theta": 500000.0},
        tokenizer_changes={"post_processor": BYTE_LEVEL | {"add_prefix_space": False}},
        generation={"do_sample": True, "temperature": 1, "repetition_penalty": 1.1},
    ),
    "linear_rope": _tiny(
        "linear-rope",
        add_tokens=["<|relay_start|>"],
        rope_scaling={"type": "linear", "factor": 4.0},
        tokenizer_changes={"post_processor": BYTE_LEVEL | {"add_prefix_space": False}},
        tokenizer_config={"add_bos_token": True, "add_prefix_space": True},
    ),
    "yarn": _tiny(
        "yarn",
        config={"rope_scaling": None, "rope_theta": None, "rope_parameters": YARN},
    ),
    "padded": _tiny(
        "padded",
        vocab=49182,
        plain_tokens=["[TOOL]", "▁spaced▁word", "<|looks_special|>"],
        config={"_name_or_path": "example/Padded-v1-Chat"},
    ),
    "bos": _tiny("bos", add_tokens=["<|relay_start|>"], **BOS),
    "bos_49152": _tiny("bos-49152", **BOS),
    "bos_denied": _tiny(
        "bos-denied", add_tokens=["<|relay_start|>"], **BOS | {"tokenizer_config": NO_BOS}
    ),
    "bos_unnamed": _tiny(
        "bos-unnamed",
        add_tokens=["<|relay_start|>"],
        **BOS | {"tokenizer_config": NO_BOS | {"bos_token": None}},
    ),
    "bare": partial(
        _random,
        "bare",
        Shape(64, 1, 2, 2, 32, 80),
        arch=LLAMA,
        dtype="F32",
        config=dict.fromkeys(
            [
                "attention_bias",
                "bos_token_id",
                "eos_token_id",
                "head_dim",
                "max_position_embeddings",
                "num_key_value_heads",
                "rms_norm_eps",
                "rope_scaling",
                "rope_theta",
                "tie_word_embeddings",
                "torch_dtype",
            ]
        ),
    ),
    "spm": _tiny("spm", source="spm", arch=LLAMA, vocab=406, config=SPM_IDS),
    "spm_json": _tiny("spm-json", source="spm_json", arch=LLAMA),
}
