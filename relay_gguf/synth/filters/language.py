"""The language of a scene, and whether its words are words.

With py3langid any of its 97 languages is told apart; without it English alone, by its most common
words. How frequent words are, wordfreq knows for about 40 languages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relay_gguf.errors import SettingsError
from relay_gguf.synth.words import INSTALL, words_of, zipf_frequency

LEAST_LETTERS: Final = 24
"""Letters of a scene whose language is judged: fewer tell too little. Some scripts have no spaces
between words, so words are not counted."""
LATIN: Final = 0.9
"""Share of the letters a to z in an English text, at least."""
FREQUENT: Final = 2.5
"""Zipf frequency from which a word is known, as in the author's filter of starters."""
COMMON: Final = 0.2
"""Share of the most common words in an English text, at least: chats have 0.35 to 0.6."""

COMMON_WORDS: Final = frozenset(
    words_of(
        "a about after all also am an and any are as at back be because been but by can come "
        "could day did do does don't down even find first for from get give go going good got had "
        "has have he hello her here hi him his how i i'll i'm i've if in into is isn't it it's "
        "its just know let like little look made make many me more much my never new no not now "
        "of off oh ok on one only or other our out over people really right said say see she "
        "should so some something still take than that that's the their them then there these "
        "they thing think this time to too two up us use very want was way we well were what "
        "what's when where which who why will with would yeah yes you you're your"
    )
)

Judge = Callable[[str], bool]
"""Whether a text is to be dropped."""


def foreign(language: str) -> tuple[Judge, str]:
    """A function that tells a text in another language, and how it is told.

    Raises:
        SettingsError: py3langid is not installed, and the language is not English; or it does not
            know the language.
    """
    try:
        import py3langid
    except ImportError:
        if language != "en":
            raise SettingsError(
                f"--language {language} needs py3langid, which is not installed: {INSTALL}. Or "
                "take --without language."
            ) from None
        return _not_english, "by common words; py3langid is not installed"
    module: Any = py3langid
    known = sorted(code for code, _ in module.rank("hello"))
    if language not in known:
        raise SettingsError(f"--language is {language!r}; py3langid knows {', '.join(known)}.")

    def differs(text: str) -> bool:
        said = " ".join(words_of(text))
        return len(said) >= LEAST_LETTERS and module.classify(said)[0] != language

    return differs, "by py3langid"


def unknown_words(language: str, min_known: float) -> tuple[Judge | None, str]:
    """A function that tells a text with too many rare words, and how; None without wordfreq."""
    zipf = zipf_frequency()
    if zipf is None:
        return None, f"not run: wordfreq is not installed ({INSTALL})"
    import wordfreq

    found: Any = wordfreq
    if language not in found.available_languages():
        return None, f"not run: wordfreq does not know the language {language}"

    def rare(text: str) -> bool:
        words = words_of(text)
        known = sum(zipf(word, language) >= FREQUENT for word in words)
        return not words or known < min_known * len(words)

    return rare, "by wordfreq"


def _not_english(text: str) -> bool:
    words = words_of(text)
    letters = "".join(words)
    if len(letters) < LEAST_LETTERS and letters.isascii():
        return False
    if sum(letter.isascii() for letter in letters) < LATIN * len(letters):
        return True
    return sum(word in COMMON_WORDS for word in words) < COMMON * len(words)
