"""Byte-level BPE, as Mistral-Nemo, Llama 3 and SmolLM2 have it, from tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import TokenType
from tokenizers import Tokenizer

from relay_gguf.errors import ConversionError

from .pretokenizers import PROBE, fingerprint, pre_tokenizer
from .tokens import Tokens, added_token, filled


def read_bpe(tokenizer: Tokenizer, n_vocab: int) -> Tokens:
    """The tokens of a byte-level BPE tokenizer, padded to `n_vocab`."""
    added = tokenizer.get_added_tokens_decoder()
    found: dict[int, tuple[str, TokenType, float]] = {}
    for text, token in tokenizer.get_vocab(with_added_tokens=True).items():
        if token in added:
            entry = added[token]
            found[token] = (*added_token(_normalized(tokenizer, text, entry), entry.special), 0.0)
        else:
            found[token] = (text, TokenType.NORMAL, 0.0)
    return filled(found, n_vocab)


def find_pre(tokenizer: Tokenizer, path: Path, base: Tokenizer | None) -> str:
    """llama.cpp's name of a tokenizer's pre-tokenizer.

    Args:
        tokenizer: the one to find.
        path: of its tokenizer.json, for the error.
        base: the tokenizer that it was made from, asked where `tokenizer` itself is unknown.

    Raises:
        ConversionError: llama.cpp's table has neither.
    """
    ids = tokenizer.encode(PROBE).ids
    candidates = [ids, tokenizer.encode(PROBE, add_special_tokens=False).ids]
    if base is not None:
        candidates.append(base.encode(PROBE).ids)
    found = next((name for name in map(pre_tokenizer, candidates) if name), None)
    if found is None:
        raise ConversionError(
            f"{path} has a pre-tokenizer that is not in llama.cpp's table "
            f"({fingerprint(ids)[:12]}). If you know its name there, give it: --pre NAME."
        )
    return found


def is_byte_level(model: Mapping[str, Any]) -> bool:
    """Whether the `model` object of a tokenizer.json is byte-level BPE."""
    return model.get("type") == "BPE" and not model.get("byte_fallback")


def _normalized(tokenizer: Tokenizer, text: str, token: Any) -> str:
    """The text of an added token as llama.cpp looks for it: before it normalizes."""
    if token.normalized:
        return text
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoded: str = tokenizer.decode(ids, skip_special_tokens=False)
    return decoded
