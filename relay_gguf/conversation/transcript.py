"""A conversation as a value, which records change.

Everything that changes a conversation is a record; `Transcript.apply` is the only thing that
changes a transcript. The live chat and a session read from disk go through it alike, so that a
saved session replays to the same state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from .messages import DEFAULT_CHANNEL, NICKS, Message, is_notice


@dataclass(frozen=True, slots=True)
class Turned:
    """A typed line, and the messages that it wrote into the context at a Unix time.

    `fresh` begins a scene in `channel`. `awaits` asks for a reply. `edits` takes the place of the
    turn before. `ids` are the token ids of the first message if a model wrote it. An empty `line`
    means that the program did this by itself. Without messages, one of several people whom the
    model plays speaks after another, as its reply.
    """

    line: str
    messages: tuple[Message, ...]
    time: float
    fresh: bool = False
    channel: str = ""
    awaits: bool = False
    edits: bool = False
    ids: tuple[int, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether one of the model's people speaks after another, to no line of the human's."""
        return not self.messages


@dataclass(frozen=True, slots=True)
class Answered:
    """The model answered the last turn; `ids` are the tokens between the control tokens.

    reply: the first reply. alternative: one more. continue: the chosen reply, made longer.
    """

    how: Literal["reply", "alternative", "continue"]
    message: Message
    ids: tuple[int, ...]
    time: float


@dataclass(frozen=True, slots=True)
class Chose:
    """The user chose another of the last turn's replies: the one at `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class Undone:
    """The last turn was taken back."""


@dataclass(frozen=True, slots=True)
class Forgot:
    """The context was full: its messages at `indices` left it."""

    indices: tuple[int, ...]


Record = Turned | Answered | Chose | Undone | Forgot


def written(record: Record) -> tuple[Message, tuple[int, ...]] | None:
    """The message that a model wrote, with its token ids; None for any other record."""
    match record:
        case Answered(message=message, ids=ids) | Turned(messages=(message, *_), ids=ids) if ids:
            return message, ids
    return None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn with its replies: `chosen` is the index of the one that stands.

    `forgotten_at` is the number of the turn that pushed this one out of the context.
    """

    said: Turned
    answers: tuple[Answered, ...] = ()
    chosen: int = 0
    forgotten_at: int | None = None

    @property
    def answer(self) -> Message | None:
        """The reply that stands; None before there is one."""
        return self.answers[self.chosen].message if self.answers else None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the turn, its reply last."""
        answer = self.answer
        return self.said.messages if answer is None else (*self.said.messages, answer)

    @property
    def dated(self) -> Iterator[tuple[float, Message]]:
        """The messages of the turn with their Unix times."""
        for message in self.said.messages:
            yield self.said.time, message
        if self.answers:
            yield self.answers[self.chosen].time, self.answers[self.chosen].message


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation: all its turns, those of earlier scenes included."""

    turns: tuple[Turn, ...] = field(default=())

    @property
    def scene(self) -> tuple[Turn, ...]:
        """The turns since the last /join."""
        for index in range(len(self.turns) - 1, -1, -1):
            if self.turns[index].said.fresh:
                return self.turns[index:]
        return self.turns

    @property
    def scenes(self) -> tuple[Transcript, ...]:
        """Each scene as a conversation of its own, the one that plays now last."""
        starts = [i for i, turn in enumerate(self.turns) if turn.said.fresh and i]
        bounds = [0, *starts, len(self.turns)]
        return tuple(replace(self, turns=self.turns[a:b]) for a, b in pairwise(bounds))

    @property
    def channel(self) -> str:
        """Where the scene plays, without its #."""
        scene = self.scene
        return scene[0].said.channel if scene and scene[0].said.fresh else DEFAULT_CHANNEL

    @property
    def context(self) -> tuple[Message, ...]:
        """The messages that the model reads: the scene without those that left it."""
        return tuple(m for turn in self.scene if turn.forgotten_at is None for m in turn.messages)

    @property
    def dated(self) -> Iterator[tuple[float, Message]]:
        """The scene's messages, forgotten ones included, with their Unix times."""
        for turn in self.scene:
            yield from turn.dated

    @property
    def topic(self) -> str:
        """The channel's topic as the model reads it; empty if there is none."""
        return self._announced(f"* Topic for #{self.channel} is: ")

    @property
    def bio(self) -> str:
        """The model's bio as the model reads it; empty if there is none."""
        return self._announced(f"* {NICKS['model']}'s bio: ")

    def _announced(self, begin: str) -> str:
        """The rest of the newest line of IRC's own in the context that begins with `begin`."""
        for message in reversed(self.context):
            if is_notice(message) and message.content.startswith(begin):
                return message.content.removeprefix(begin)
        return ""

    @property
    def last(self) -> Turn | None:
        """The last turn, if a person typed it, or the model's people went on after one.

        None after one that the program did by itself.
        """
        last = self.turns[-1] if self.turns else None
        return last if last is not None and (last.said.line or last.said.follows) else None

    @property
    def last_typed(self) -> Turn | None:
        """As `last`, without what the model's people said to each other after it."""
        turns = self.turns
        while turns and turns[-1].said.follows:
            turns = turns[:-1]
        return replace(self, turns=turns).last

    def apply(self, record: Record) -> Transcript:
        """The transcript as a record changes it.

        Raises:
            ValueError: the record does not fit, such as a reply without a turn.
        """
        match record:
            case Turned(edits=edits):
                before = self._undo() if edits else self
                return replace(before, turns=(*before.turns, Turn(record)))
            case Answered(how=how):
                last = self._last()
                kept = last.answers
                if how == "continue":
                    kept = (*kept[: last.chosen], record, *kept[last.chosen + 1 :])
                    return self._with_last(replace(last, answers=kept))
                return self._with_last(replace(last, answers=(*kept, record), chosen=len(kept)))
            case Chose(index):
                last = self._last()
                if not 0 <= index < len(last.answers):
                    raise ValueError(f"reply {index} of {len(last.answers)}")
                return self._with_last(replace(last, chosen=index))
            case Undone():
                return self._undo()
            case Forgot(indices):
                return self._forget(frozenset(indices))

    def _last(self) -> Turn:
        if not self.turns:
            raise ValueError("there is no turn yet")
        return self.turns[-1]

    def _with_last(self, turn: Turn) -> Transcript:
        return replace(self, turns=(*self.turns[:-1], turn))

    def _undo(self) -> Transcript:
        """Without the last turn; what it pushed out of the context returns."""
        self._last()
        number = len(self.turns) - 1
        return replace(
            self,
            turns=tuple(
                replace(turn, forgotten_at=None) if turn.forgotten_at == number else turn
                for turn in self.turns[:-1]
            ),
        )

    def _forget(self, indices: frozenset[int]) -> Transcript:
        number = len(self.turns) - 1
        first = len(self.turns) - len(self.scene)
        turns, position = list(self.turns[:first]), 0
        for turn in self.scene:
            size = len(turn.messages)
            gone = turn.forgotten_at is None and position in indices
            turns.append(replace(turn, forgotten_at=number) if gone else turn)
            position += size if turn.forgotten_at is None else 0
        return replace(self, turns=tuple(turns))
