"""How many tokens a message takes: estimated, or counted by a model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from relay_gguf.conversation.messages import Message
from relay_gguf.errors import SettingsError

AROUND: Final = 5
"""Tokens of ChatML around a message: its begin, the role, a line break, its end, a line break."""

BYTES: Final = 3.5
"""Bytes of chat that make a token: 3.46 with SmolLM2's tokenizer on made-up chats in English."""

Count = Callable[[Message], int]


def estimate(message: Message) -> int:
    """Tokens of a message, by its length."""
    content = message.content
    size = len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    return AROUND + int(size / BYTES) + 1


def counter(path: Path) -> Count:
    """Counts tokens with a tokenizer.json, or that of a model's folder.

    Raises:
        SettingsError: it cannot be read.
    """
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise SettingsError(f"Cannot read the tokenizer {file}: {error}.") from error

    def count(message: Message) -> int:
        return AROUND + len(tokenizer.encode(message.content, add_special_tokens=False).ids)

    return count
