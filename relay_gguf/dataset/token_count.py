"""The number of tokens of a message: estimated, or counted by a model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from relay_gguf.conversation.messages import Message
from relay_gguf.errors import SettingsError

AROUND: Final = 5
"""Tokens of ChatML around a message: <|im_start|>, role, line break, <|im_end|>, line break."""

BYTES: Final = 3.5
"""Bytes of chat for each token: 3.46 with SmolLM2's tokenizer on made-up chats in English."""

Count = Callable[[Message], int]


def estimate(message: Message) -> int:
    """Tokens of a message, estimated by its length."""
    content = message.content
    size = len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    return AROUND + int(size / BYTES) + 1


def counter(path: Path) -> Count:
    """A function that counts tokens with a tokenizer.json, or with that of a model's folder.

    Raises:
        SettingsError: the tokenizer cannot be read.
    """
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # bare Exception, and Rust's panics, which are not even that
        raise SettingsError(f"Cannot read the tokenizer {file}: {error}.") from error

    def count(message: Message) -> int:
        return AROUND + len(tokenizer.encode(message.content, add_special_tokens=False).ids)

    return count
