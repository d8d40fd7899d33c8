"""SentencePiece vocabularies, as Llama 2 and Mistral 7B have them.

They are read from tokenizer.model, whose pieces have scores, or from a tokenizer.json alone, as
transformers 5 saves it, whose merges give the same order.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gguf import TokenType

from relay_gguf.errors import ConversionError

from .tokens import Tokens, added_token, filled

ADDED: Final = -1000.0
"""The score of an added token, as llama.cpp's converter gives it."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


def read_model(
    path: Path,
    added: Mapping[str, int],
    decoder: Mapping[str, Any],
    listed: Iterable[Mapping[str, Any]],
    n_vocab: int,
) -> Tokens:
    """The tokens of a tokenizer.model, and those added to it.

    Args:
        path: the file.
        added: added_tokens.json.
        decoder: `added_tokens_decoder` of tokenizer_config.json, which precedes `added`.
        listed: `added_tokens` of tokenizer.json, where transformers 5 has those that are nowhere
            else; the files before precede it.
        n_vocab: rows of the embedding; larger ids are left out, as in llama.cpp's converter.

    Raises:
        ConversionError: the file cannot be read, or is not a SentencePiece model.
    """
    try:
        pieces = list(_pieces(path.read_bytes()))
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, IndexError, struct.error) as error:
        raise ConversionError(f"{path} is not a SentencePiece model: {error}.") from error
    if not pieces:
        raise ConversionError(f"{path} is not a SentencePiece model: it has no pieces.")
    found = dict(enumerate(pieces[:n_vocab]))
    for text, token in added.items():
        if token < n_vocab:
            found[token] = (text, TokenType.USER_DEFINED, ADDED)
    for token, entry in ((int(token), entry) for token, entry in decoder.items()):
        if token < n_vocab:
            text, kind = added_token(entry["content"], bool(entry.get("special")))
            found[token] = (text, kind, ADDED)
    for entry in listed:
        if entry["id"] not in found and entry["id"] < n_vocab:
            found[entry["id"]] = (
                *added_token(entry["content"], bool(entry.get("special"))),
                ADDED,
            )
    return filled(found, n_vocab)


def read_json(tokenizer: Mapping[str, Any], n_vocab: int) -> Tokens:
    """The tokens of a tokenizer.json with byte fallback.

    A piece's score is the negative rank of the first merge that makes it, so that llama.cpp merges
    in the order of the tokenizer.
    """
    model = tokenizer["model"]
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    found: dict[int, tuple[str, TokenType, float]] = {}
    for text, token in model["vocab"].items():
        kind = TokenType.BYTE if _BYTE.fullmatch(text) else TokenType.NORMAL
        found[token] = (text, kind, -float(ranks.get(text, len(ranks))))
    for entry in tokenizer.get("added_tokens", []):
        text, kind = added_token(entry["content"], bool(entry.get("special")))
        found[entry["id"]] = (text, kind, ADDED)
    return filled(found, n_vocab)


def _pieces(data: bytes) -> Iterator[tuple[str, TokenType, float]]:
    """Field 1 of a ModelProto, again and again: text 1, score 2, type 3
    (sentencepiece_model.proto).

    The types are numbered as GGUF's; those that the user defined count as normal, as they do for
    llama.cpp's converter.
    """
    for number, value in _fields(data):
        if number != 1:
            continue
        fields = dict(_fields(value))
        kind = TokenType(fields.get(3, TokenType.NORMAL))
        (score,) = struct.unpack("<f", fields.get(2, bytes(4)))
        if kind is TokenType.USER_DEFINED:
            kind = TokenType.NORMAL
        yield fields[1].decode("utf-8"), kind, score


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers as they are, all else as bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        number, wire = divmod(varint(), 8)
        if wire == _VARINT:
            yield number, varint()
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size = varint()
        if size is None or at + size > len(data):
            raise ValueError(f"field {number} of wire type {wire} at byte {at}")
        yield number, data[at : at + size]
        at += size
