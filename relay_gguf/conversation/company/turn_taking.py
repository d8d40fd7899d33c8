"""Turn-taking among the model's people: whom a line speaks to, and whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .person import word

_EVERYONE: Final = re.compile(
    r"(?<![\w-])(everyone|everybody|all of you|both of you|you all|you two)(?![\w-])|^all[:,]",
    re.IGNORECASE,
)


def addressed(text: str, nicks: Sequence[str]) -> list[str]:
    """Whom a text speaks to: `bob: …`, else all that it names, else all with `everyone`.

    Args:
        text: what somebody says, without a speaker's name before it.
        nicks: of those who may be meant.

    Returns:
        Nicks in the order in which they are spoken to; none if the text is for anybody.
    """
    either = "|".join(map(re.escape, sorted(nicks, key=len, reverse=True)))
    first = either and re.match(
        rf"((?:{either})(?:\s*(?:,|&|\band\b)\s*(?:{either}))*)\s*[:,](?=\s|$)", text, re.IGNORECASE
    )
    called = first[1] if first else text
    found = {nick: place for nick in nicks if (place := _place(called, nick)) >= 0}
    if not found and _EVERYONE.search(text):
        return list(nicks)
    return sorted(found, key=found.__getitem__)


def in_turn(nicks: Sequence[str], spoken: Sequence[str]) -> str:
    """Whose turn it is: who spoke longest ago, and the first of those who never did.

    Args:
        nicks: one at least.
        spoken: who spoke, in order; others than `nicks` too.
    """
    last = {nick: at for at, nick in enumerate(spoken)}
    return min(nicks, key=lambda nick: last.get(nick, -1))


def _place(text: str, nick: str) -> int:
    """Where a text names somebody for the first time; -1 if it does not."""
    found = word(nick).search(text)
    return found.start() if found else -1
