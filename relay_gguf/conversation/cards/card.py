"""A character as a value: what of it becomes the model's bio, and what the channel's topic."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay_gguf.conversation.messages import NICKS

BIO_CHARS: Final = 4000
"""Characters of a bio at most: about a thousand tokens, a quarter of Relay's context."""
TOPIC_CHARS: Final = 1000
_COMMENT = re.compile(r"\{\{\s*(?://|comment\s*:|hidden_key\s*:)[^{}]*\}\}", re.IGNORECASE)
_MODEL = re.compile(r"\{\{\s*char\s*\}\}|<(?:bot|char)>", re.IGNORECASE)
_HUMAN = re.compile(r"\{\{\s*user\s*\}\}|<user>", re.IGNORECASE)
_ENDS: Final = (". ", "! ", "? ", "。")


@dataclass(frozen=True, slots=True)
class Card:
    """A character card. `left_out` names what it has besides, which Relay has no place for."""

    name: str
    description: str = ""
    personality: str = ""
    scenario: str = ""
    left_out: tuple[str, ...] = ()

    def bio(
        self,
        fits: Callable[[str], bool] | None = None,
        *,
        model: str = NICKS["model"],
        human: str = NICKS["input"],
    ) -> str:
        """The character as a bio for `/cast`: name, description, personality, in one line.

        Args:
            fits: whether a text is short enough; None allows `BIO_CHARS` characters.
            model: the nick that takes the place of `{{char}}`.
            human: the nick that takes the place of `{{user}}`.

        Returns:
            The text, cut at the end of a sentence or word if it does not fit.
        """
        parts = [f"I'm {self.name}.", self.description, self.personality]
        text = " ".join(filter(None, (_line(part, model, human) for part in parts)))
        return shortened(text, fits or (lambda text: len(text) <= BIO_CHARS))

    def topic(
        self,
        fits: Callable[[str], bool] | None = None,
        *,
        model: str = NICKS["model"],
        human: str = NICKS["input"],
    ) -> str:
        """The scenario as a topic, as `bio`; None allows `TOPIC_CHARS`. Empty without one."""
        text = _line(self.scenario, model, human)
        return shortened(text, fits or (lambda text: len(text) <= TOPIC_CHARS))


def shortened(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of a text that fits and ends with a sentence or else a word.

    Where more than half would be lost so, as in a text without spaces, it ends anywhere.
    """
    if fits(text):
        return text
    low, high = 0, len(text) - 1  # `low` characters fit, more than `high` do not
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[:middle]):
            low = middle
        else:
            high = middle - 1
    kept = text[:low]
    sentence = max(kept.rfind(mark) for mark in _ENDS) + 1
    word = kept.rfind(" ") if text[low : low + 1].strip() else low
    return kept[: next((end for end in (sentence, word) if end > low // 2), low)].rstrip()


def _line(text: str, model: str, human: str) -> str:
    """A card's text as a line of IRC, with nicks in the places of its macros."""
    text = _COMMENT.sub("", text)
    text = _HUMAN.sub(lambda _: human, _MODEL.sub(lambda _: model, text))
    return " ".join(text.split())
