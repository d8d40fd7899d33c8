"""Scenes with secrets, by the rules of `relay-gguf dataset`, and scenes with links.

A model has read the web, and says some of it word for word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from relay_gguf.conversation.messages import Message
from relay_gguf.dataset.secrets import Secrets

LINK: Final = re.compile(
    r"\b(?:https?|ftp|ircs?)://|\bwww\.\w|"
    r"\b[\w-]+\.(?:(?:com|org|net|edu|gov|co\.uk)\b(?![\w])|(?:[a-z]{2,6})/\w)",
    re.IGNORECASE,
)
"""An address of the web, with or without its scheme."""


def secrets_of(channel: str, talk: Sequence[Message], regions: Sequence[str]) -> Counter[str]:
    """The kinds of secrets in a scene, and how many messages have one.

    Args:
        channel: its name, without #.
        talk: its messages.
        regions: codes of the countries whose phone numbers are known without a plus.
    """
    secrets = Secrets(f"#{channel}", regions)
    for message in talk:
        for line in message.content.splitlines():
            secrets.has(message.nick, line)
    return secrets.found


def has_link(text: str) -> bool:
    """Whether a text has a link."""
    return LINK.search(text) is not None
