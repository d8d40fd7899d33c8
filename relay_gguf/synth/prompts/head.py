"""The lines that a scene begins with: Relay's own, or the single line of the author's data set."""

from __future__ import annotations

from typing import Final, Literal

from relay_gguf.conversation.messages import (
    DEFAULT_CHANNEL,
    NICKS,
    Message,
    cast,
    is_notice,
    join,
    topic,
)

from .premise import Premise

HeadStyle = Literal["relay", "author"]

AUTHOR: Final = "* <anon> has joined the room"
"""The head of based-chat's prompts, as its card tells it."""
HEAD_BEGINS: Final = ("* Now talking in #", AUTHOR)
"""What the first line of a head begins with: where it comes, another scene begins."""


def head_messages(premise: Premise, style: HeadStyle) -> tuple[Message, ...]:
    """The opening of a conversation to train on.

    With the author's head it is the one line that axolotl put before each of the author's
    conversations.
    """
    if style == "author":
        return (join(NICKS, "model", DEFAULT_CHANNEL)[2],)
    lines = join(NICKS, "model", premise.channel)
    if premise.topic:
        lines += topic(NICKS, "input", premise.channel, premise.topic)
    if premise.bio:
        lines += cast(NICKS, "input", premise.bio)
    return lines


def head_lines(premise: Premise, style: HeadStyle) -> list[str]:
    """The head of a prompt: of the opening, what the channel shows."""
    if style == "author":
        return [AUTHOR]
    return [line.content for line in head_messages(premise, style) if is_notice(line)]
