"""The tokens of a vocabulary: text, type and score of each id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gguf import TokenType

from relay_gguf.errors import ConversionError

PAD: Final = re.compile(r"[\[<|]*_?pad(?:ding)?(?:_?token)?_?[\]>|]*", re.IGNORECASE)
"""The usual names of a token that fills up batches: [PAD], <pad>, <|PAD_TOKEN|>."""
NO_TOKEN: Final = -10000.0
"""The score of an id without a token, as llama.cpp's converter gives it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Parallel lists by id, as a GGUF file has them; all but `n_known` ids are padding."""

    texts: Sequence[str]
    types: Sequence[TokenType]
    scores: Sequence[float]
    n_known: int


def filled(found: Mapping[int, tuple[str, TokenType, float]], n_vocab: int) -> Tokens:
    """Tokens for all `n_vocab` rows of an embedding, padded with unused ones."""
    rows = [
        found.get(token, (f"[PAD{token}]", TokenType.UNUSED, NO_TOKEN)) for token in range(n_vocab)
    ]
    texts, types, scores = zip(*rows, strict=True)
    return Tokens(texts, types, scores, sum(token < n_vocab for token in found))


def added_token(text: str, special: bool) -> tuple[str, TokenType]:
    """Text and type of an added token: some control tokens are not marked as special."""
    if special or looks_special(text):
        return text, TokenType.CONTROL
    return text.replace("\u2581", " "), TokenType.USER_DEFINED


def looks_special(text: str) -> bool:
    """Whether a text has the form of a control token (conversion/base.py of llama.cpp)."""
    return (
        text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<\uff5c") and text.endswith("\uff5c>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def refuse_duplicates(texts: Sequence[str], folder: Path) -> None:
    """Refuse two tokens of the same text, for which llama.cpp ends the process (GGML_ASSERT).

    Raises:
        ConversionError: there are such tokens; names them.
    """
    counts = Counter(texts)
    if len(counts) == len(texts):
        return
    text = next(text for text, count in counts.items() if count > 1)
    first = texts.index(text)
    second = texts.index(text, first + 1)
    raise ConversionError(
        f"{folder}: the tokens {first} and {second} are both {text!r}; llama.cpp needs each once."
    )
