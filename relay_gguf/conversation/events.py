"""What happens in a channel, as values: a session yields them, a front end shows them."""

from __future__ import annotations

from dataclasses import dataclass

from relay_gguf.engine import FinishReason

from .messages import Message


@dataclass(frozen=True, slots=True)
class Typing:
    """`nick` begins to write a message that starts with `opening`; a `draft` is not said yet."""

    nick: str
    opening: str = ""
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The model reads the prompt: `done` of `total` new tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Prompted:
    """The model has read the prompt `text`, which asks for a message of `nick`.

    `evaluated` tokens were new, `reused` came from the cache.
    """

    nick: str
    text: str
    evaluated: int
    reused: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the message being written; a character is never cut in two."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message stands in the channel: typed, written by the program, or generated.

    `tokens` is what it takes in the context if it was typed, what the model wrote if it was
    generated. `seconds` is the time that those took, `reason` why they ended.
    """

    message: Message
    tokens: int = 0
    seconds: float = 0.0
    reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The context was full: messages with these indices left it, for `tokens` tokens."""

    indices: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """The end of a conversation that goes on, with the Unix times of its messages."""

    messages: tuple[tuple[float, Message], ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should read; it is not part of the channel."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong; nothing was lost and the chat goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """Text to put into the input line, for the user to change and send."""

    text: str


@dataclass(frozen=True, slots=True)
class Left:
    """The user leaves."""


Event = (
    Typing | Reading | Prompted | Piece | Said | Trimmed | Replayed | Notice | Failed | Draft | Left
)
