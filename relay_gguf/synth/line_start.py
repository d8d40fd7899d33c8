"""Which tokens may come while a scene is young: no end of the text, and lines of the two alone.

Small models like to end a scene before it has begun, with an empty line or somebody who joins.
Until both have said something, a line can only begin with one of their nicks, and not be empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from .irc_text import TALKERS

if TYPE_CHECKING:
    from relay_gguf.sampling import Ids

OPENINGS: Final = tuple(f"<{nick}>" for nick in TALKERS)


class LineStart:
    """The tokens that may not come next, by what the line has so far; for one vocabulary."""

    def __init__(self, pieces: Sequence[bytes], ends: Iterable[int]) -> None:
        """Take the bytes of each token, (n_vocab,), and the ids of those that end a text."""
        self._texts = [piece.decode("utf-8", "replace") for piece in pieces]
        self._ends: Ids = np.array(sorted(ends), np.intp)
        self._by_letter: dict[str, list[int]] = defaultdict(list)  # the first of their text
        for token, text in enumerate(self._texts):
            self._by_letter[text[:1]].append(token)
        blank = [n for letter in "\n\r\t " for n in self._by_letter.get(letter, ())]
        empty = [n for n in blank if self._texts[n].lstrip(" \t\r").startswith("\n")]
        self._empty: Ids = np.union1d(self._ends, np.array(empty, np.intp))
        self._known: dict[tuple[str, str], Ids] = {}

    def barred(self, begun: str, silent: str = "") -> Ids:
        """Ids that may not come after the beginning of a line; not all of them.

        Args:
            begun: what the line has so far.
            silent: the nick of whoever may not speak now; empty if both may.
        """
        if begun.rstrip(" \t") in OPENINGS:
            return self._empty
        if len(begun) >= len(OPENINGS[0]):
            return self._ends
        known = self._known.get((begun, silent))
        if known is None:
            known = self._known[begun, silent] = self._beside(begun, silent)
        return known

    def _beside(self, begun: str, silent: str) -> Ids:
        """Ids after which the line cannot be that of somebody who may speak."""
        barred = np.ones(len(self._texts), np.bool_)
        for opening in OPENINGS:
            rest = opening.removeprefix(begun)
            if opening == f"<{silent}>" or (begun and opening == rest):
                continue
            for token in self._by_letter.get(rest[0], ()):
                text = self._texts[token]
                if rest.startswith(text) or text.startswith(rest):
                    barred[token] = False
        if barred.all():  # a vocabulary that cannot write it
            return self._ends
        barred[self._ends] = True
        return barred.nonzero()[0]
