"""Scenes that are hardly a conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from relay_gguf.conversation.messages import NICKS, Message


def is_thin(talk: Sequence[Message], *, min_lines: int, min_each: int) -> bool:
    """Whether a scene has too few messages, or too few of one person, or not the model's last."""
    counts = Counter(message.nick for message in talk)
    least = min(counts[NICKS["model"]], counts[NICKS["input"]])
    ends = bool(talk) and talk[-1].nick == NICKS["model"]
    return len(talk) < min_lines or least < min_each or not ends
