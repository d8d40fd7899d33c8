"""Scenes in which somebody says what was just said, or the model what the scene began with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.synth.stop_rules import alike, folded

LEAST: Final = 10
"""Characters of a message that is compared: `ok` and `ok` is not an echo."""
INSIDE: Final = 20
"""Characters of a message that is an echo if it is a part of the other."""


def is_echo(talk: Sequence[Message], *, max_echo: float) -> bool:
    """Whether a message is that much like the one before it, or the model's like the first.

    A long message that is a part of the other counts too, unless `max_echo` is 1.
    """
    model, texts = NICKS["model"], [folded(message.content) for message in talk]
    pairs = [*pairwise(texts)]
    pairs += [(texts[0], text) for m, text in zip(talk, texts, strict=True) if m.nick == model]
    return any(
        alike(one, other, max_echo) or (_inside(one, other) and max_echo < 1.0)
        for one, other in pairs
        if min(len(one), len(other)) >= LEAST
    )


def _inside(one: str, other: str) -> bool:
    """Whether one of two texts is a part of the other, and long."""
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= INSIDE and shorter in longer
