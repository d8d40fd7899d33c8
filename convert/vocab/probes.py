"""Texts that llama.cpp must tokenize as the tokenizer does; tokens that it may find otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gguf import TokenType
from tokenizers import Tokenizer

from relay_gguf.chatml import IM_END, IM_START

from .pretokenizers import PROBE
from .tokens import PAD, added_token

PROBES: Final = (
    PROBE,
    "<|im_start|>system\n* Now talking in #boston<|im_end|>\n"
    "<|im_start|>anon\nhi! what's up?<|im_end|>\n<|im_start|>user\n",
    "<|im_start|>anon\n/cast I'm a pirate, arr... 123,456.78<|im_end|>",
    "Grüße aus München: 3½ Bäume, «çà et là», 東京 2024年、Привет, мир!\r\n\ttabs  and   spaces   ",
    "def f(x):\n    return {'a': [x ** 2, None]}  # https://example.org/?q=1&r=%20\n",
)
"""Texts that llama.cpp must tokenize as the tokenizer does."""


def find_matched(
    tokenizer: Tokenizer, content: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Added tokens that are not found by their text alone: with spaces, as words, or normalized.

    Yields:
        The text of each; what tokenizer.json says of it, and whether a chat can have it: ChatML's
        tokens, and those that llama.cpp finds in typed text.
    """
    for token in tokenizer.get_added_tokens_decoder().values():
        ways = [way for way in ("lstrip", "rstrip", "single_word") if getattr(token, way)]
        if token.normalized and content.get("normalizer"):
            ways.append("normalized")
        text = token.content
        if ways and not PAD.fullmatch(text):
            control = added_token(text, token.special)[1] is TokenType.CONTROL
            yield text, (", ".join(ways), not control or text in (IM_START, IM_END))


def unlike(matched: Mapping[str, tuple[str, bool]]) -> Iterator[str]:
    """What is said of control tokens that other chats than ours may have."""
    apart = [text for text, (way, ours) in matched.items() if not ours and "strip" in way]
    if apart:
        yield (
            f"The tokenizer drops the spaces beside {', '.join(apart)}, llama.cpp keeps them. "
            "Relay's chats have no such tokens; other prompts with them are cut otherwise."
        )
