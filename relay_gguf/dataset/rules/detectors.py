"""The keys of services that detect-secrets knows, by its patterns alone.

Its plugins could ask a service whether a key works; that is another method, which is never called
here: nothing is sent. Its plugins that measure entropy are not used, for they take any hash or
identifier for a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

_LEFT_OUT: Final = frozenset({"BasicAuthDetector", "IPPublicDetector", "PrivateKeyDetector"})
"""Plugins for what our own rules find, without those false alarms."""
_WORD: Final = re.compile(r"\S{12}")
"""What every key has: so many characters without a space."""
_SPACES: Final = re.compile(r"\s+")
_PIECE: Final = 400
_OVERLAP: Final = 200
"""Some patterns take time by the square of a text's length, so they get a long text in pieces.

Two pieces share more characters than a key has that is not known by its beginning."""


def knows(text: str) -> bool:
    """Whether a plugin finds a key in a text."""
    return any(
        any(map(str.isdigit, found[0]))
        for piece in _pieces(_SPACES.sub(" ", text))
        for pattern in _patterns()
        for found in pattern.finditer(piece)
    )


def _pieces(text: str) -> Iterator[str]:
    """The parts of a text that may have a key, none longer than `_PIECE`."""
    for start in range(0, max(1, len(text) - _OVERLAP), _PIECE - _OVERLAP):
        piece = text[start : start + _PIECE]
        if _WORD.search(piece) and any(map(str.isdigit, piece)):
            yield piece


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Those of the plugins. The library is imported here, for `--help` needs none of it."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector

    plugins: Iterable[type[BasePlugin]] = get_mapping_from_secret_type_to_class().values()
    return tuple(
        pattern
        for plugin in plugins
        if issubclass(plugin, RegexBasedDetector) and plugin.__name__ not in _LEFT_OUT
        for pattern in plugin().denylist
    )
