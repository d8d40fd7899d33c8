"""Refusals by their wording, without a model: the lists of refusals.toml, and the user's.

It knows neither the question nor what the answer is about: an answer to another question is not a
refusal here, nor is an empty one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError
from relay_gguf.toml import parse_toml, read_toml

BEGINNING: Final = 400
"""Characters in which a refusal is looked for: behind them stand the reasons, or an answer."""
LISTS: Final = ("beginning", "anywhere", "whole")
WORDS: Final = ("cannot", "do")
"""Parts that the lists name in braces."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """The lists, compiled: each is one expression; one that never matches where a list is empty."""

    beginning: re.Pattern[str]
    anywhere: re.Pattern[str]
    whole: re.Pattern[str]

    def refuses(self, answer: str) -> bool:
        """Whether an answer is worded as a refusal."""
        said = answer.replace("\u2019", "'").replace("\u2018", "'").strip()
        if self.whole.fullmatch(said.rstrip(" .!?:;,)(\u2026")):
            return True
        return bool(self.beginning.search(said[:BEGINNING]) or self.anywhere.search(said))


def read_phrases(own: Path | None = None) -> Phrases:
    """The shipped phrases, and those of the user's file.

    Raises:
        SettingsError: the user's file cannot be read, has an unknown key, or an expression of it
            is wrong.
    """
    lists = {name: list(items) for name, items in _shipped().items() if name in LISTS}
    for name, items in ({} if own is None else read_toml(own)).items():
        if name not in LISTS or not isinstance(items, list):
            raise SettingsError(f"{own}: {name} is not one of the lists {', '.join(LISTS)}.")
        lists[name] += items
    return Phrases(*(_compiled(lists[name], own) for name in LISTS))


@cache
def _shipped() -> dict[str, Any]:
    return parse_toml((files(__package__) / "refusals.toml").read_text("utf-8"))


def _compiled(items: list[Any], own: Path | None) -> re.Pattern[str]:
    words = {name: _shipped()[name] for name in WORDS}
    found = []
    for item in items:
        try:
            text = str(item)
            for name, word in words.items():
                text = text.replace(f"{{{name}}}", word)
            re.compile(text)
        except re.error as error:
            raise SettingsError(f"{own}: {item!r} is not a regular expression: {error}.") from error
        found.append(f"(?:{text})")
    return re.compile("|".join(found) or r"(?!)", re.IGNORECASE | re.MULTILINE)
