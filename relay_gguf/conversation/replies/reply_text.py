"""The tokens of a reply as they come, and the text that they make."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from relay_gguf.engine import Engine


class ReplyText:
    """A message while its tokens come: `body` are the ids so far, `content` is their text."""

    def __init__(self, engine: Engine, opening: str, body: Iterable[int]) -> None:
        self.body = list(body)
        self.content = opening
        self._piece = engine.piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        if opening:  # a reply that was cut within a character goes on with that character
            begun = self._decoder.decode(b"".join(map(engine.piece, self.body)))
            self.content = begun.partition("\n")[2]

    def add(self, token: int) -> str:
        """The text that a token adds; empty while a character is not whole."""
        self.body.append(token)
        return self._take(self._decoder.decode(self._piece(token)))

    def end(self) -> str:
        """The text of a last character that stayed incomplete."""
        return self._take(self._decoder.decode(b"", final=True))

    def _take(self, text: str) -> str:
        self.content += text
        return text
