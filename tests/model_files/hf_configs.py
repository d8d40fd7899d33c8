"""config.json and generation_config.json of a Hugging Face model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_tokenizers import dump_json, load_json, token_ids
from hf_weights import NAMES

MODEL_TYPES = {"MistralForCausalLM": "mistral", "LlamaForCausalLM": "llama"}


def write_config(
    folder: Path,
    arch: str,
    dtype: str,
    vocab: int | None,
    settings: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
) -> int:
    """Write config.json and generation_config.json; the rows of the embedding."""
    ids: dict[str, int] = {}
    if (folder / "tokenizer.json").exists():
        tokens = token_ids(folder)
        tokenizer = load_json(folder / "tokenizer_config.json")
        roles = [role for role in ("bos", "eos") if tokenizer[f"{role}_token"]]
        ids = {f"{role}_token_id": tokens[tokenizer[f"{role}_token"]] for role in roles}
        vocab = max(tokens.values()) + 1 if vocab is None else vocab
    assert vocab is not None, "this tokenizer does not say how large it is"
    config: dict[str, Any] = {
        "architectures": [arch],
        "attention_dropout": 0.0,
        **ids,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "model_type": MODEL_TYPES[arch],
        "rms_norm_eps": 1e-05,
        "torch_dtype": NAMES[dtype],
        "use_cache": True,
        "vocab_size": vocab,
        **settings,
    }
    for name, value in (changes or {}).items():
        config[name] = value
        if value is None:
            del config[name]
    dump_json(folder / "config.json", config)
    dump_json(folder / "generation_config.json", ids | dict(generation or {}))
    return vocab
