"""What llama.cpp refuses in a vocabulary, or ends the process over: src/llama-vocab.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from gguf import TokenType

from .gguf_model import EMBEDDING, GgufModel
from .header import Metadata, ValueType
from .tensor_faults import NO_TOKENS, n_rows
from .values import text, texts

SENTENCEPIECE: Final = "llama"
"""The vocabulary (tokenizer.ggml.model) whose BOS is token 1, unless the file has another."""
BYTE_LEVEL: Final = "gpt2"
WITHOUT_MERGES: Final = ("kimi-k2",)
"""Pre-tokenizers of vocabularies that need no merges."""
IN_UTF8: Final = (*range(0xC0), *range(0xC2, 0xF5))
"""The bytes that a text can have."""
_ARRAYS: Final = {
    "tokens": (ValueType.STRING,),
    "scores": (ValueType.FLOAT32, ValueType.INT32),
    "token_type": (ValueType.INT32,),
    "merges": (ValueType.STRING,),
}


def token_faults(model: GgufModel) -> Iterator[str]:
    """Faults of the tokens, each for itself and together."""
    metadata = model.metadata
    kind = text(metadata, "tokenizer.ggml.model")
    if kind in NO_TOKENS:
        return
    tokens = as_llama_cpp_has_them(texts(metadata, "tokenizer.ggml.tokens"))
    for name, kinds in _ARRAYS.items():
        value = metadata.get(f"tokenizer.ggml.{name}")
        if value is not None and value.item not in kinds:
            yield f"tokenizer.ggml.{name} is not an array of {kinds[0].name}"
    if not tokens:
        yield "There is no token"
        return
    if doubles := _doubles(tokens):
        more = f" and {len(doubles) - 1:,} others are" if len(doubles) > 1 else " is"
        yield f"The token {doubles[0]!r}{more} there twice: llama.cpp ends with an assertion"
    types = _list(metadata, "token_type")
    for what, items in (("type", types), ("score", _list(metadata, "scores"))):
        if items is not None and len(items) < len(tokens):
            yield f"{len(items):,} of {len(tokens):,} tokens have a {what}"
    for token in _of_type(TokenType.BYTE, types or (), tokens):
        if len(token.encode("utf-8", "surrogateescape")) < len("<0x"):
            yield f"The token {token!r} is marked as a byte, and does not say which"
            break
    embedding = model.tensor(EMBEDDING)
    if embedding is not None and (rows := n_rows(embedding)) != len(tokens):
        yield f"There are {len(tokens):,} tokens and {rows:,} rows of embedding"
    if kind == SENTENCEPIECE and (lacking := _lacking_bytes(tokens)):
        yield (
            f"The vocabulary is SentencePiece's and has no token for {len(lacking)} bytes, as "
            f"{byte_token(lacking[0])}: the first text with one would end llama.cpp"
        )
    without = text(metadata, "tokenizer.ggml.pre") in WITHOUT_MERGES
    if kind == BYTE_LEVEL and "tokenizer.ggml.merges" not in metadata and not without:
        yield "tokenizer.ggml.merges is missing"


def as_llama_cpp_has_them(tokens: Sequence[str]) -> Sequence[str]:
    """The texts of tokens as llama.cpp reads them: up to a NUL; an empty one gets a name."""
    if "" not in tokens and "\0" not in "".join(tokens):  # all but a few files
        return tokens
    cut = [token.partition("\0")[0] for token in tokens]
    return [token or f"[EMPTY_{number}]" for number, token in enumerate(cut)]


def byte_token(byte: int) -> str:
    """SentencePiece's token of a byte: `<0x0A>`."""
    return f"<0x{byte:02X}>"


def _lacking_bytes(tokens: Sequence[str]) -> list[int]:
    """The bytes of texts for which there is no token."""
    known = set(tokens)
    return [
        byte
        for byte in IN_UTF8
        if byte_token(byte) not in known and not (0 < byte < 0x80 and chr(byte) in known)
    ]


def _list(metadata: Metadata, name: str) -> list[Any] | None:
    """The items of an array of the vocabulary; None where there is none."""
    value = metadata.get(f"tokenizer.ggml.{name}")
    return value.value if value is not None and isinstance(value.value, list) else None


def _of_type(kind: int, types: Sequence[Any], tokens: Sequence[str]) -> Iterator[str]:
    """The tokens that have a type."""
    if kind in types:
        yield from (token for token, its in zip(tokens, types, strict=False) if its == kind)


def _doubles(tokens: Sequence[str]) -> list[str]:
    if len(set(tokens)) == len(tokens):
        return []
    seen: set[str] = set()
    doubles = []
    for token in tokens:
        if token in seen:
            doubles.append(token)
        seen.add(token)
    return doubles
