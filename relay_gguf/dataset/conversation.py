"""A conversation: how large it may be, while it is made, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay_gguf.conversation.messages import Message

from .turns import Turn


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a conversation is cut, and which are kept."""

    gap: float = 30 * 60  # seconds of silence
    max_messages: int = 200
    max_tokens: int = 4096
    min_replies: int = 1
    join_lines: float | None = None  # seconds between lines of one person that become one message


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it is trained on."""

    messages: tuple[Message, ...]
    replies: int
    tokens: int


@dataclass(slots=True)
class Draft:
    """A conversation under way: what it opens with, its turns, and the tokens of each.

    `size` and `tokens` count what it opens with, and leave room for bios.
    """

    scene: tuple[Message, ...]
    scene_tokens: int
    size: int
    tokens: int
    turns: list[Turn] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
