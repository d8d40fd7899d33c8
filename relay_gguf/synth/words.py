"""The words of a text, and how frequent they are in a language, if wordfreq is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from relay_gguf.errors import SettingsError

INSTALL: Final = "pip install 'relay-gguf[synth]'"

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters; numbers are none."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def zipf_frequency() -> Callable[[str, str], float] | None:
    """wordfreq's function of a word and a language; None where wordfreq is not installed."""
    try:
        import wordfreq
    except ImportError:
        return None
    found: Any = wordfreq
    function: Callable[[str, str], float] = found.zipf_frequency
    return function


def least_frequency(language: str = "en") -> Callable[[str], float]:
    """A function that gives the Zipf frequency of the rarest word of a text.

    Raises:
        SettingsError: wordfreq is not installed.
    """
    zipf = zipf_frequency()
    if zipf is None:
        raise SettingsError(f"--min-zipf needs wordfreq, which is not installed: {INSTALL}.")
    return lambda text: min((zipf(word, language) for word in words_of(text)), default=0.0)
