"""What CAST is about: one of several people, or the bio of the one who is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from relay_gguf.conversation.company.person import Person, check_nick
from relay_gguf.errors import CommandError

_OF_A_CARD: Final = ("name", "age", "bio", "character", "description", "personality")
"""Words before a colon that begin a bio, and are nobody's nick."""
_FIRST_PERSON: Final = re.compile(r"i(['’]\w+)?\s", re.IGNORECASE)


def read_cast(argument: str, knows: Callable[[str], bool]) -> Person | None:
    """The person that the argument of CAST names, with the bio; None if all of it is a bio.

    A nick is what stands before a colon, or the first word if somebody is called that, or before
    `I'm ...`, as a bio begins.

    Args:
        argument: what stands behind CAST.
        knows: whether one of the people has a nick.
    """
    word, _, rest = argument.partition(" ")
    nick, colon, begun = word.partition(":")
    bio = f"{begun} {rest}".strip()
    if not bio or not _is_nick(nick):
        return None
    if colon:
        return None if nick.lower() in _OF_A_CARD else Person(nick, bio)
    return Person(nick, bio) if knows(nick) or _FIRST_PERSON.match(f"{rest} ") else None


def _is_nick(text: str) -> bool:
    try:
        check_nick(text)
    except CommandError:
        return False
    return True
