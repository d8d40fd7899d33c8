"""Events of a channel as values: a session yields them, a front end shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from relay_gguf.engine import FinishReason

from .messages import Message

T = TypeVar("T")

Ended = FinishReason | Literal["failed", "loop"]
"""Why a generated message ended; failed: the model raised an error; loop: it repeated itself, and
`SamplingParams.loop_guard` is on."""


@dataclass(frozen=True, slots=True)
class Typing:
    """`nick` begins to write a message that starts with `opening`; a `draft` is not said yet."""

    nick: str
    opening: str = ""
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The model reads the prompt: `done` of `total` new tokens; twice a second at least.

    `seconds_left` is None where the speed is not known yet.
    """

    done: int
    total: int
    seconds_left: float | None = None


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
    """A part of the text being written, in whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message stands in the channel: typed, written by the program, or generated.

    Of a generated message, `tokens` counts those that the model wrote in `seconds`, and `reason`
    says why it ended. Of any other, `tokens` is its size in the context and `reason` is None.
    """

    message: Message
    tokens: int = 0
    seconds: float = 0.0
    reason: Ended | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """What becomes of one of several messages that are drawn at once, of which one will stand.

    `row` is its place among them, from 0. The last event is `Said`, or None if nothing came that
    differs from the others. `number` is the one by which a kept reply is called, from 1; 0 before
    it is kept.
    """

    row: int
    event: Typing | Reading | Piece | Said | None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Offered:
    """`count` replies to the last turn may be chosen from; the one called `standing` stands."""

    standing: int
    count: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The context was full: the messages at `indices` left it, `tokens` tokens in all."""

    indices: tuple[int, ...]
    tokens: int

    def kept(self, context: Iterable[T]) -> list[T]:
        """What stays of the context, or of anything with an item for each of its messages."""
        gone = frozenset(self.indices)
        return [item for index, item in enumerate(context) if index not in gone]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The last messages of a session that goes on, each with its Unix time."""

    messages: tuple[tuple[float, Message], ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A text of the program for the user; it is not part of the channel."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An error, as a text for the user; nothing was lost and the chat goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A text to put into the input line, for the user to change and send."""

    text: str


@dataclass(frozen=True, slots=True)
class Left:
    """The user leaves."""


Event = (
    Typing
    | Reading
    | Prompted
    | Piece
    | Said
    | Alternative
    | Offered
    | Trimmed
    | Replayed
    | Notice
    | Failed
    | Draft
    | Left
)
