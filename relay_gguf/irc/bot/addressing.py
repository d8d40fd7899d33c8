"""Whether the model answers, and what it hears: in company it speaks when it is spoken to."""

from __future__ import annotations

import re
from typing import Literal

Reply = Literal["auto", "always", "mention", "pause"]
"""auto: a single person always, several when they name it or fall silent. pause: that for one, too.
mention: only when named."""


def answers_at_once(reply: Reply, *, several: bool, named: bool) -> bool:
    """Whether a message is answered as soon as it is said."""
    return named or reply == "always" or (reply == "auto" and not several)


def names(text: str, nick: str) -> bool:
    """Whether a text has a nick in it, as a word."""
    return re.search(rf"(?<![\w-]){re.escape(nick)}(?![\w-])", text, re.IGNORECASE) is not None


def heard(text: str, nick: str, speaker: str, *, several: bool) -> str:
    """A message as the model reads it.

    `user: hi`, which clients complete with Tab, is to the model what was said to it: hi. Where
    several people talk, who said it stands before it.
    """
    to_it = rf"{re.escape(nick)}[:,]\s+(?=\S)"
    text = re.sub(f"^{to_it}", "", text, count=1, flags=re.IGNORECASE)
    return f"{speaker}: {text}" if several else text
