"""Folders with SmolLM2's tokenizer, whole, small, or with more tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from relay_gguf.gguf_file.header import read_header

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
BYTE_LEVEL = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


@cache
def keys_of(gguf: Path) -> dict[str, Any]:
    """The keys of a GGUF file; the gguf package would take some seconds for them."""
    return {name: key.value for name, key in read_header(gguf).metadata.items()}


def write_tokenizer(folder: Path, gguf: Path) -> Path:
    """Write the tokenizer of a GGUF file with SmolLM2's vocabulary; its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = keys_of(gguf)

    def field(name: str) -> Any:
        return keys[f"tokenizer.{name}"]

    tokens: list[str] = field("ggml.tokens")
    special = [i for i, kind in enumerate(field("ggml.token_type")) if kind != 1]
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    roles = {f"{k}_token": tokens[field(f"ggml.{v}_token_id")] for k, v in names.items()}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in field("ggml.merges")],
    }
    byte_level = BYTE_LEVEL | {"add_prefix_space": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(i, tokens[i]) for i in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, byte_level]},
        "post_processor": None,
        "decoder": BYTE_LEVEL | {"add_prefix_space": True},
        "model": model,
    }
    dump_json(folder / "tokenizer.json", tokenizer)
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {},
        "chat_template": field("chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": keys["llama.context_length"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    dump_json(folder / "tokenizer_config.json", config | roles)
    dump_json(folder / "special_tokens_map.json", roles)
    _describe_added_tokens(folder)
    return folder


def write_small_tokenizer(
    folder: Path, tokenizer_from: Path, size: int = 2048, *, rename: Mapping[str, str] | None = None
) -> Path:
    """Write a tokenizer of the first `size` tokens of another one, with the merges among them.

    llama.cpp's converter does not know it: fewer merges give other ids.

    Args:
        folder: where.
        tokenizer_from: a folder with SmolLM2's tokenizer.
        size: of its vocabulary.
        rename: tokens that get another text. A tokenizer that lacks `<|im_end|>` is that of a base
            model, so its chat template is dropped too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (tokenizer_from / name).exists():
            text = (tokenizer_from / name).read_text("utf-8")
            for old, new in (rename or {}).items():
                text = text.replace(json.dumps(old), json.dumps(new))
            (folder / name).write_text(text, "utf-8")
    tokenizer = load_json(folder / "tokenizer.json")
    model = tokenizer["model"]
    vocab = {token: i for token, i in model["vocab"].items() if i < size}
    model["vocab"] = vocab
    model["merges"] = [[a, b] for a, b in model["merges"] if {a, b, a + b} <= vocab.keys()]
    dump_json(folder / "tokenizer.json", tokenizer)
    if rename:
        config = load_json(folder / "tokenizer_config.json")
        del config["chat_template"]
        dump_json(folder / "tokenizer_config.json", config)
    return folder


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the files of a tokenizer that a folder has."""
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def token_ids(folder: Path) -> dict[str, int]:
    """Every token of a folder with a tokenizer.json, by its text."""
    tokenizer = load_json(folder / "tokenizer.json")
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    return ids | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


def _added_token(number: int, text: str, special: bool = True) -> dict[str, Any]:
    """A token in a tokenizer.json; those that are not special are normalized, as by default."""
    return {
        "id": number,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
    }


def add_tokens(folder: Path, texts: Sequence[str], *, special: bool) -> int:
    """Give a folder's tokenizer more tokens; how many it has then."""
    if not texts and not (folder / "tokenizer.json").exists():
        return 0
    ids = token_ids(folder)
    size = max(ids.values()) + 1
    assert not ids.keys() & set(texts), "these tokens are there already"
    if texts:
        tokenizer = load_json(folder / "tokenizer.json")
        for i, text in enumerate(texts):
            tokenizer["added_tokens"].append(_added_token(size + i, text, special))
        dump_json(folder / "tokenizer.json", tokenizer)
        _describe_added_tokens(folder)
    return size + len(texts)


def _describe_added_tokens(folder: Path) -> None:
    """Repeat the added tokens in tokenizer_config.json, as transformers does."""
    config = load_json(folder / "tokenizer_config.json")
    for token in load_json(folder / "tokenizer.json")["added_tokens"]:
        entry = {name: value for name, value in sorted(token.items()) if name != "id"}
        config["added_tokens_decoder"][str(token["id"])] = entry
    dump_json(folder / "tokenizer_config.json", config)


def load_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text("utf-8"))


def dump_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, without indentation: Python's encoder in C has none."""
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", "utf-8")
