"""Text to ids and back by a model's vocabulary, and the tokens that frame a turn."""

from __future__ import annotations

import ctypes
import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.engine import ControlTokens
from relay_gguf.errors import EngineError, ModelError

from .native import lib

MAX_RUN = 1024
"""Characters of a run without, or of only, white space that are tokenized at once: the regex of
Mistral-Nemo's pre-tokenizer recurses once a character, and overflows a stack of 8 MB at 30,000."""

USUAL_PIECE = 512
"""Bytes that hold the text of nearly every token."""

_LONG_RUN = re.compile(rf"\S{{{MAX_RUN + 1},}}|\s{{{MAX_RUN + 1},}}")


class Tokenizer:
    """Text to ids and back by a vocabulary of llama.cpp's, from any thread, until it is closed."""

    def __init__(self, vocab: Any) -> None:
        """Take llama.cpp's handle of a vocabulary."""
        self._vocab = vocab
        self._fingerprint = ""
        self._control_texts: frozenset[str] | None = None
        self._pieces: dict[int, bytes] = {}  # of those that were asked for
        self._using = threading.Lock()  # nobody may free the vocabulary while it is read

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all tokens' texts, hexadecimal."""
        with self._using:
            self._fingerprint = self._fingerprint or fingerprint(self._open())
            return self._fingerprint

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """The ids of `text`, no BOS; control tokens in it are plain text unless asked for."""
        with self._using:
            return tokenize(self._open(), text, parse_special=parse_special)

    def control_texts(self) -> frozenset[str]:
        """The texts of all control tokens, such as `<|im_end|>`."""
        with self._using:
            if self._control_texts is None:
                self._control_texts = control_texts(self._open())
            return self._control_texts

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a control token.

        Raises:
            EngineError: there is no such token.
        """
        found = self._pieces.get(token)
        if found is None or self._vocab is None:
            with self._using:
                found = self._pieces[token] = piece(self._open(), token)
        return found

    def pieces(self) -> list[bytes]:
        """The bytes of every token, (n_vocab,)."""
        with self._using:
            return list(pieces(self._open()))

    @property
    def added_bos(self) -> int | None:
        """The token that the file wants before a text; None if it wants none, or has none."""
        with self._using:
            return added_bos(self._open())

    def ends(self) -> frozenset[int]:
        """The ids of all tokens that end a text or a turn, as llama.cpp judges them."""
        with self._using:
            vocab = self._open()
            ids = range(lib.llama_vocab_n_tokens(vocab))
            return frozenset(token for token in ids if lib.llama_vocab_is_eog(vocab, token))

    def close(self) -> None:
        """Let go of the vocabulary, which may then be freed."""
        with self._using:
            self._vocab = None

    def _open(self) -> Any:
        """The vocabulary: llama.cpp would crash the process when given a freed one.

        Raises:
            EngineError: it was closed.
        """
        if self._vocab is None:
            raise EngineError("The model is closed.")
        return self._vocab


def tokenize(vocab: Any, text: str, *, parse_special: bool) -> list[int]:
    """The ids of a text; with `parse_special`, texts of control tokens become these tokens."""
    return [
        token
        for part in _parts(text)
        for token in _tokenize(vocab, part, parse_special=parse_special)
    ]


def _parts(text: str) -> Iterator[str]:
    """The text, cut inside runs longer than `MAX_RUN`."""
    start = 0
    for run in _LONG_RUN.finditer(text):
        for cut in range(run.start() + MAX_RUN, run.end(), MAX_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]


def _tokenize(vocab: Any, text: str, *, parse_special: bool) -> list[int]:
    data = text.encode("utf-8", "replace")  # a lone surrogate from a broken terminal
    room = len(data) + 2
    ids = (lib.llama_token * room)()
    count = lib.llama_tokenize(vocab, data, len(data), ids, room, False, parse_special)
    if count < 0:
        raise EngineError(f"llama.cpp cannot tokenize a text of {len(data)} bytes.")
    return list(ids[:count])


def pieces(vocab: Any) -> Iterator[bytes]:
    """The bytes of every token in turn, as `piece` gives them; one buffer serves most of them."""
    buffer = ctypes.create_string_buffer(USUAL_PIECE)
    for token in range(lib.llama_vocab_n_tokens(vocab)):
        size = lib.llama_token_to_piece(vocab, token, buffer, USUAL_PIECE, 0, False)
        yield piece(vocab, token) if size < 0 else ctypes.string_at(buffer, size)


def piece(vocab: Any, token: int) -> bytes:
    """The bytes of a token; empty for a control token.

    Raises:
        EngineError: there is no such token; llama.cpp would end the process.
    """
    n_vocab = int(lib.llama_vocab_n_tokens(vocab))
    if not 0 <= token < n_vocab:
        raise EngineError(f"There is no token {token}; the vocabulary has {n_vocab}.")
    size = -USUAL_PIECE
    while size < 0:
        buffer = ctypes.create_string_buffer(-size)
        size = lib.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
    return buffer.raw[:size]


def fingerprint(vocab: Any) -> str:
    """SHA-256 over all tokens' texts, hexadecimal."""
    digest = hashlib.sha256()
    for token in range(lib.llama_vocab_n_tokens(vocab)):
        digest.update(lib.llama_vocab_get_text(vocab, token) or b"")
        digest.update(b"\0")
    return digest.hexdigest()


def control_texts(vocab: Any) -> frozenset[str]:
    """The texts of a vocabulary's control tokens."""
    found = {
        lib.llama_vocab_get_text(vocab, token) or b""
        for token in range(lib.llama_vocab_n_tokens(vocab))
        if lib.llama_vocab_is_control(vocab, token)
    }
    return frozenset(text.decode("utf-8", "replace") for text in found if text)


def added_bos(vocab: Any) -> int | None:
    """The token that a file wants before a text; None if it wants none, or has none."""
    bos = int(lib.llama_vocab_bos(vocab))
    # A file may ask for a BOS that it does not have: llama.cpp would end the process when asked
    # for the text of -1.
    return bos if lib.llama_vocab_get_add_bos(vocab) and bos >= 0 else None


def find_control(path: Path, model: Any, vocab: Any, *, any_chat: bool = False) -> ControlTokens:
    """The tokens that frame a turn in ChatML.

    Args:
        path: the model's file, for messages.
        model, vocab: llama.cpp's handles.
        any_chat: a model of another chat format will do: both of its tokens are the one that ends
            a turn, or -1 where there is none.

    Raises:
        ModelError: the vocabulary lacks them, or the model cannot generate text.
    """
    if lib.llama_vocab_type(vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
        raise ModelError(f"{path} has no vocabulary: it is part of a model, or made for tests.")
    found = {text: tokenize(vocab, text, parse_special=True) for text in (IM_START, IM_END)}
    missing = [text for text, ids in found.items() if len(ids) != 1]
    if missing and not any_chat:
        raise ModelError(
            f"{path} has no {' and no '.join(missing)} in its vocabulary. Relay speaks ChatML: "
            "take a Relay model, or another model that was trained with these tokens."
        )
    if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
        raise ModelError(f"{path} is an encoder; a chat needs a decoder-only model.")
    if missing:
        end = int(lib.llama_vocab_eot(vocab))
        im_start = im_end = end if end >= 0 else int(lib.llama_vocab_eos(vocab))
    else:
        (im_start,), (im_end,) = found[IM_START], found[IM_END]
    bos = added_bos(vocab)
    if bos is None or bos == im_start:  # SmolLM2's, with which the first turn begins anyway
        return ControlTokens(im_start, im_end)
    text = lib.llama_vocab_get_text(vocab, bos) or b""
    return ControlTokens(im_start, im_end, bos, text.decode("utf-8", "replace"))
