"""The tokens of a vocabulary at which a repetition ends for DRY: control tokens and line ends.

Without them each message would be taken for a repetition of the last one's head.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

from relay_gguf.llama.native import lib

LONGEST: Final = 4096
"""Bytes of a token's text that are looked at."""

_Piece = ctypes.CFUNCTYPE(
    *(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32),
    *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_bool),
)
"""`llama_token_to_piece` with plain addresses, which cost a fraction of pointers with a type."""


class Breakers:
    """The breakers of a vocabulary, looked for when they are asked for the first time.

    That takes 0.2 s for 49,152 tokens. For the engine's thread only.
    """

    def __init__(self, vocab: Any) -> None:
        """Take llama.cpp's handle of a vocabulary."""
        self._vocab = vocab
        self._found: frozenset[int] | None = None

    def __call__(self) -> frozenset[int]:
        """The ids of all control tokens, and of all tokens that have a line end in their text."""
        if self._found is None:
            self._found = frozenset(self._look())
        return self._found

    def _look(self) -> Iterator[int]:
        piece = _Piece(ctypes.cast(lib.llama_token_to_piece, ctypes.c_void_p).value or 0)
        text = ctypes.create_string_buffer(LONGEST)
        place = ctypes.addressof(text)
        for token in range(int(lib.llama_vocab_n_tokens(self._vocab))):
            size = piece(self._vocab, token, place, LONGEST, 0, False)
            if size > 0:
                breaks = b"\n" in ctypes.string_at(place, size)
            else:  # a control token has no text here
                breaks = lib.llama_vocab_is_control(self._vocab, token)
            if breaks:
                yield token
