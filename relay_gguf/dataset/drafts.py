"""A conversation: its limits, while it is made, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay_gguf.conversation.messages import Message

from .turns import LogTurn


@dataclass(frozen=True, slots=True)
class ConversationLimits:
    """The limits at which a conversation ends, and the replies for which it is kept."""

    gap: float = 30 * 60  # seconds of silence
    max_messages: int = 200
    max_tokens: int = 4096
    min_replies: int = 1
    join_lines: float | None = None  # seconds between lines of one person that become one message

    def joins(self, before: LogTurn, turn: LogTurn) -> bool:
        """Whether a turn is a line that continues the message of the turn before it."""
        seconds = self.join_lines
        if seconds is None or not (before.said and turn.said) or before.nick != turn.nick:
            return False
        if before.time is None or turn.time is None:
            return False
        return abs(turn.time - before.time) <= seconds


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to train on; `replies` counts the model's messages."""

    messages: tuple[Message, ...]
    replies: int
    tokens: int


@dataclass(slots=True)
class ConversationDraft:
    """A conversation while it is made: its opening messages, its turns, and the tokens of each.

    `size` counts messages. It and `tokens` include the opening, and leave room for bios.
    """

    opening: tuple[Message, ...]
    opening_tokens: int
    size: int
    tokens: int
    turns: list[LogTurn] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)

    def put(self, turn: LogTurn, tokens: int) -> None:
        """Add a turn of so many tokens."""
        self.turns.append(turn)
        self.costs.append(tokens)
        self.size += len(turn.messages)
        self.tokens += tokens

    def has_room(self, turn: LogTurn, tokens: int, limits: ConversationLimits) -> bool:
        """Whether a turn of so many tokens fits within the limits."""
        return (
            self.tokens + tokens <= limits.max_tokens
            and self.size + len(turn.messages) <= limits.max_messages
        )
