"""Whether a message is answered, and what the model reads of it."""

from __future__ import annotations

import re
from typing import Literal

Reply = Literal["auto", "always", "mention", "pause"]
"""When the model answers a message.

auto: at once in a channel of one person; among several, when named or else after a pause.
always: at once. pause: when named, or else after a pause. mention: only when named.
"""


def answers_at_once(reply: Reply, *, several: bool, named: bool) -> bool:
    """Whether a message is answered at once.

    Args:
        reply: when the model answers.
        several: whether several people are in the channel.
        named: whether the message has the bot's nick in it.
    """
    return named or reply == "always" or (reply == "auto" and not several)


def heard(text: str, nick: str, speaker: str, *, several: bool) -> str:
    """A message as the model reads it.

    The bot's nick at the beginning, which clients complete with Tab, is left out: `user: hi`
    becomes `hi`. If several people are in the channel, the speaker's nick stands before the text.
    """
    to_it = rf"{re.escape(nick)}[:,]\s+(?=\S)"
    text = re.sub(f"^{to_it}", "", text, count=1, flags=re.IGNORECASE)
    return f"{speaker}: {text}" if several else text
