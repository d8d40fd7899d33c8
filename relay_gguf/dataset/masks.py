"""Made-up nicks in the place of real ones.

The first nick of a run gets the first made-up nick, and so on: a person has the same name in every
log of a run, and nothing in that name comes from the nick, so that it cannot be guessed. A nick is
found in a text as a whole word, in any case, once the log has shown it; the model's nick becomes
`user`, which is the model's name.
"""

from __future__ import annotations

import random
import re
from typing import Final

from relay_gguf.conversation.messages import NICKS

from .logs.log_line import fold
from .people import People

_BEGIN: Final = "ba be bo da do fa fi ga go ha jo ka ki la lu ma mi na no pa"
_END: Final = "bit dan der fin gus ker lan lo mel mo nik ra rin sa sten ta tor va wen zo"
_WORD: Final = re.compile(r"[\w\[\]\\`^{}|-]+")


class Masks:
    """The made-up nicks of a run, shuffled by a seed."""

    def __init__(self, seed: int) -> None:
        self._names = [begin + end for begin in _BEGIN.split() for end in _END.split()]
        random.Random(seed).shuffle(self._names)
        self._masks: dict[str, str] = {}

    def mask(self, nick: str) -> str:
        """The made-up nick of a person."""
        folded = fold(nick)
        if folded not in self._masks:
            turn, place = divmod(len(self._masks), len(self._names))
            self._masks[folded] = self._names[place] + (str(turn + 1) if turn else "")
        return self._masks[folded]

    def mask_text(self, text: str, people: People) -> str:
        """A text with the nicks of known people replaced."""

        def replaced(match: re.Match[str]) -> str:
            nick = match[0]
            if not people.is_known(nick) and len(nick) > 1 and people.is_known(nick.rstrip("-|`")):
                nick = nick.rstrip("-|`")
            if not people.is_known(nick):
                return match[0]
            made_up = NICKS["model"] if people.is_model(nick) else self.mask(nick)
            return made_up + match[0][len(nick) :]

        return _WORD.sub(replaced, text)
