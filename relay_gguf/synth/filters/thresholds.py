"""The numbers at which filters drop a scene, and the filters that are off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from relay_gguf.errors import SettingsError

FILTERS: Final = (
    "structure",
    "repetition",
    "language",
    "words",
    "echo",
    "secrets",
    "links",
    "assistant",
    "likelihood",
    "duplicates",
)
"""All filters, in the order in which a dropped scene is counted."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the filters allow; those named in `without` are off.

    Raises:
        SettingsError: a number is outside its range, or there is no such filter.
    """

    without: frozenset[str] = frozenset()
    min_lines: int = 4  # messages of a scene
    min_each: int = 2  # messages of each of the two
    max_repeated: float = 1.0  # times Gopher's shares
    language: str = "en"
    min_known: float = 0.9  # share of words that are not rare
    max_echo: float = 0.85  # likeness of a message and the one before it
    drop_likeliest: float = 0.05  # share of scenes
    drop_unlikeliest: float = 0.02  # share of scenes
    max_similar: float = 0.8  # share of word 5-grams that two scenes have in common

    def __post_init__(self) -> None:
        for unknown in sorted(self.without - set(FILTERS)):
            raise SettingsError(f"There is no filter {unknown!r}. Filters: {', '.join(FILTERS)}.")
        for name, high in (
            ("min_lines", math.inf),
            ("min_each", math.inf),
            ("max_repeated", math.inf),
            ("min_known", 1.0),
            ("max_echo", 1.0),
            ("drop_likeliest", 0.9),
            ("drop_unlikeliest", 0.9),
            ("max_similar", 1.0),
        ):
            value = getattr(self, name)
            if not 0 <= value <= high:
                upper = "or more" if high == math.inf else f"to {high:g}"
                spelled = name.replace("_", "-")
                raise SettingsError(f"--{spelled} is {value:g}; it must be 0 {upper}.")
