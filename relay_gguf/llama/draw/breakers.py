"""The tokens of a vocabulary at which a repetition ends for DRY: control tokens and line ends.

Without them each message would be taken for a repetition of the last one's head.
"""

from __future__ import annotations

from typing import Any

from relay_gguf.llama.native import lib
from relay_gguf.llama.tokenizer import pieces


class Breakers:
    """The breakers of a vocabulary, looked for when they are asked for the first time.

    That takes 0.3 s for 49,152 tokens. For the engine's thread only.
    """

    def __init__(self, vocab: Any) -> None:
        """Take llama.cpp's handle of a vocabulary."""
        self._vocab = vocab
        self._found: frozenset[int] | None = None

    def __call__(self) -> frozenset[int]:
        """The ids of all control tokens, and of all tokens that have a line end in their text."""
        if self._found is None:
            texts = enumerate(pieces(self._vocab))
            self._found = frozenset(token for token, text in texts if self._breaks(token, text))
        return self._found

    def _breaks(self, token: int, text: bytes) -> bool:
        if text:
            return b"\n" in text
        return bool(lib.llama_vocab_is_control(self._vocab, token))  # these have no text
