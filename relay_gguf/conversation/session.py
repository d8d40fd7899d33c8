"""A conversation for a front end: a typed line in, events out. No print, no input.

Every front end (terminal, pipe, JSON, IRC) drives a `Session` alike. `actions` has what each
command does; nothing that goes wrong there is raised here: it is an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relay_gguf.errors import CommandError, ContextError, EngineError, StoreError

from .actions import ACTIONS
from .cards.casting import cast as cast_file
from .commands import Call, Say, Wildcard, parse, spell, whole_words
from .dialogue import Dialogue
from .events import Draft, Event, Failed, Notice
from .messages import NICKS, SILENCE, Message, savable
from .transcript import Transcript


@dataclass(frozen=True, slots=True)
class Status:
    """What a status bar shows; `speed` is the last reply's, in tokens a second."""

    nick: str
    channel: str
    topic: str
    tokens: int
    n_ctx: int
    speed: float
    model: str


class Session:
    """A dialogue that lines are typed into."""

    def __init__(
        self,
        dialogue: Dialogue,
        *,
        watch: Callable[[Event], None] | None = None,
        reads_cards: bool = False,
    ) -> None:
        """Put a dialogue behind a front end.

        Args:
            dialogue: the conversation; `close` releases its file.
            watch: is called with every event before it is passed on.
            reads_cards: whether /cast takes the name of a character card's file too. Files are
                those of this machine: only where whoever types may read them anyway.
        """
        self.dialogue = dialogue
        self._watch = watch
        self._reads_cards = reads_cards
        self._busy = False

    def start(self, topic: str = "", cast: str = "") -> Iterator[Event]:
        """Open the first scene, with a topic and a bio for the model if there are any.

        A topic stays if the bio is a character card with a scenario.
        """
        opening = self.dialogue.open_scene("", "model", self.dialogue.first_channel)
        yield from self._guard(opening)
        if topic:
            yield from self.submit(f"/topic {topic}")
        if cast and topic and self._reads_cards:
            line = savable(f"/cast {cast}").strip()
            bio = line.removeprefix("/cast").strip()
            yield from self._guard(cast_file(self.dialogue, bio, line, keeps_topic=True), line)
        elif cast:
            yield from self.submit(f"/cast {cast}")

    def submit(self, line: str) -> Iterator[Event]:
        """Do what a typed line says. All that can go wrong is an event, nothing is raised."""
        line = savable(line).strip()
        yield from self._guard(self._dispatch(line), line)

    def enter(self, channel: str) -> Iterator[Event]:
        """Open a scene as the human, who did not type it and cannot take it back."""
        yield from self._guard(self.dialogue.open_scene("", "input", savable(channel)))

    def add(self, line: str, *messages: Message) -> Iterator[Event]:
        """Add messages to the context that nobody answers, as the turn of a typed `line`."""
        yield from self._guard(self.dialogue.turn(line, messages))

    def perform(self, events: Iterator[Event]) -> Iterator[Event]:
        """Let the dialogue do something that no typed line asks for; nothing is raised."""
        yield from self._guard(events)

    def hear(self, content: str) -> Iterator[Event]:
        """Add a message that is not answered at once; `reply` does that later."""
        content = savable(content).strip() or SILENCE
        message = Message(NICKS["input"], content)
        yield from self._guard(self.dialogue.turn(spell(content), [message], awaits=True))

    def reply(self) -> Iterator[Event]:
        """Let the model answer the last turn, if it has not."""
        last = self.transcript.last
        if last is not None and last.said.awaits and not last.answers:
            yield from self._guard(self.dialogue.answer())

    def resume(self, name: str) -> Iterator[Event]:
        """Go on with a saved session.

        Raises:
            StoreError: there is none of this name, it is damaged, or another process has it.
        """
        return self.dialogue.resume(name)

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler; without one, nothing."""
        if self._busy:
            self.dialogue.cancel()

    def hush(self) -> None:
        """The next line is waiting; where several people speak, nobody else begins before it."""

    def settle(self, row: int) -> None:
        """Stop all but one of the replies that are being drawn at once, from any thread.

        Args:
            row: the place of that one among them, as in `Alternative`.
        """
        if (drawing := self.dialogue.generator.drawing) is not None:
            drawing.only(row)

    def close(self) -> None:
        """Release the session's file."""
        self.dialogue.close()

    def prepare(self, line: str) -> bool:
        """Let the model read what stands in the input line, in the background.

        Only whole words of what will be said: the rest may still change, and a command decides
        itself what becomes of its text.

        Returns:
            Whether the model reads.
        """
        match parse(whole_words(line)):
            case Say(content) if content != SILENCE and not self._busy:
                generator = self.dialogue.generator
                return generator.prepare(self.transcript.context, "input", content)
        return False

    @property
    def transcript(self) -> Transcript:
        """The conversation so far."""
        return self.dialogue.transcript

    @property
    def names(self) -> list[str]:
        """The names of all saved sessions, newest first."""
        return self.dialogue.names

    @property
    def status(self) -> Status:
        """What a status bar shows."""
        engine = self.dialogue.generator.engine
        return Status(
            nick=NICKS["input"],
            channel=self.transcript.channel,
            topic=self.transcript.topic,
            tokens=self.dialogue.tokens,
            n_ctx=engine.n_ctx,
            speed=self.dialogue.speed,
            model=engine.name,
        )

    def _dispatch(self, line: str) -> Iterator[Event]:
        """Do what a line says, errors raised."""
        match parse(line):
            case Say(content):
                yield from self.dialogue.say(content, line)
            case Wildcard(name, argument):
                yield from self.dialogue.wildcard(name, argument, line)
            case Call("cast", argument) if self._reads_cards:
                yield from cast_file(self.dialogue, argument, line)
            case Call(name, argument):
                yield from ACTIONS[name](self.dialogue, argument, line)

    def _guard(self, events: Iterator[Event], line: str = "") -> Iterator[Event]:
        """Pass events on, and make errors and notes into events too.

        A `line` that the context has no room for is returned as a draft.
        """
        self._busy, self.dialogue.cancelled = True, False
        try:
            for event in events:
                if self._watch is not None:
                    self._watch(event)
                yield event
                yield from self._take_notes()
        except (CommandError, StoreError) as error:
            yield Notice(f"* {error}")
        except ContextError as error:
            yield Failed(str(error))
            if line:
                yield Draft(line)
        except EngineError as error:
            yield Failed(str(error))
        finally:
            self._busy = False
        yield from self._take_notes()

    def _take_notes(self) -> Iterator[Event]:
        while self.dialogue.notes:
            yield self.dialogue.notes.pop(0)
