"""A conversation that is saved: a typed line in, events out. No print, no input.

`Session` gives the original's chat its turns, and what it lacked: undo, alternatives, editing,
going on after a cut, and sessions on disk. Every front end (terminal, pipe, JSON) drives it alike.
What each command does stands in `actions`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relay_gguf.errors import CommandError, ContextError, EngineError, StoreError
from relay_gguf.relay import RelayLM

from . import messages as rules
from .actions import ACTIONS
from .commands import Call, Say, Wildcard, parse, spell
from .events import Draft, Event, Failed, Notice, Replayed, Said, Trimmed
from .export import write
from .messages import DEFAULT_CHANNEL, Message, Role
from .records import Header
from .store import Store, sessions
from .transcript import Answered, Forgot, Record, Transcript, Turned, Undone

SHOWN_AFTER_LOAD = 12
"""Messages shown of a session that was resumed."""


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
    """One conversation with one model."""

    def __init__(
        self,
        relay: RelayLM,
        folder: Path | None,
        *,
        channel: str = DEFAULT_CHANNEL,
        name: str | None = None,
        path: str = "",
        exports: Path | None = None,
        now: Callable[[], float] = time.time,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        """Begin a new session; nothing is written before something was said.

        Args:
            relay: the model.
            folder: where sessions are saved; None saves nothing.
            channel: of the first scene.
            name: under which it will be saved; None is the time.
            path: of the model's file, to find it again with --resume.
            exports: where /export writes; None is the current folder.
            now: the clock, in Unix time.
            watch: is shown every event before it is passed on.
        """
        self.relay = relay
        self.transcript = Transcript()
        self.first_channel = _savable(channel).lstrip("#") or DEFAULT_CHANNEL
        self._folder = folder
        self._exports = exports or Path()
        self._now = now
        self._watch = watch
        self._speed = 0.0
        self._busy = False
        self._cancelled = False
        self._unsaved = False
        self._notes: list[Event] = []
        self._header = Header(relay.engine.name, path, relay.engine.vocabulary if folder else "")
        self._store = Store(folder, self._header, new_name=name) if folder else None

    # What a front end calls

    def start(self, topic: str = "", cast: str = "") -> Iterator[Event]:
        """Open the first scene, with a topic and a bio for the model if there are any."""
        yield from self._guard(self.open_scene("", "model", self.first_channel))
        if topic:
            yield from self.submit(f"/topic {topic}")
        if cast:
            yield from self.submit(f"/cast {cast}")

    def submit(self, line: str) -> Iterator[Event]:
        """Do what a typed line says. All that can go wrong is an event, nothing is raised."""
        line = _savable(line).strip()
        yield from self._guard(self.dispatch(line), line)

    def enter(self, channel: str) -> Iterator[Event]:
        """Open a scene as the human, who did not type it and cannot take it back."""
        yield from self._guard(self.open_scene("", "input", _savable(channel)))

    def add(self, line: str, *messages: Message) -> Iterator[Event]:
        """Add lines to the context that nobody answers."""
        yield from self._guard(self.turn(line, messages))

    def hear(self, content: str) -> Iterator[Event]:
        """Add a message that is not answered at once; `reply` does that later."""
        content = _savable(content).strip() or rules.SILENCE
        message = Message(self.relay.nicks["input"], content)
        yield from self._guard(self.turn(spell(content), [message], awaits=True))

    def reply(self) -> Iterator[Event]:
        """Let the model answer what was said, if it has not."""
        last = self.transcript.last
        if last is not None and last.said.awaits and not last.answers:
            yield from self._guard(self.answer())

    def resume(self, name: str) -> Iterator[Event]:
        """Go on with a saved session.

        Raises:
            StoreError: there is none of this name, it is damaged, or another process has it.
        """
        if self._folder is None:
            raise StoreError("This chat is not saved.")
        store = Store(self._folder, self._header, name)
        try:
            saved = store.resume()
        except BaseException:
            store.close()
            raise
        self.close()
        self._store, self._unsaved = store, False
        self.transcript = saved.transcript
        for record, vocabulary in saved.entries:
            if vocabulary == self._header.vocabulary:
                self._remember(record)
        self._sync(self.transcript)
        lines = tuple(dated for turn in self.transcript.scene for dated in turn.dated)
        yield Replayed(lines[-SHOWN_AFTER_LOAD:])
        yield Notice(f"* This is the session {name}.")
        if saved.torn:
            yield Notice("* Its last line was cut off while being written, and is gone.")
        if saved.header.vocabulary != self._header.vocabulary:
            yield Notice(f"* It was begun with {saved.header.model}; its text is tokenized anew.")

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler; without one, nothing."""
        if self._busy:
            self._cancelled = True
            self.relay.cancel()

    def close(self) -> None:
        """Release the session's file."""
        if self._store is not None:
            self._store.close()

    @property
    def name(self) -> str | None:
        """The name under which the session is saved; None before its first line."""
        return self._store.name if self._store else None

    @property
    def names(self) -> list[str]:
        """The names of all saved sessions, newest first."""
        return [path.stem for path in sessions(self._folder)] if self._folder else []

    @property
    def tokens(self) -> int:
        """Tokens that the context takes."""
        bos = 0 if self.relay.engine.control.bos is None else 1
        return bos + sum(self.relay.sizes(self.transcript.context))

    @property
    def status(self) -> Status:
        """What a status bar shows."""
        engine, channel = self.relay.engine, self.transcript.channel
        topic = self.transcript.topic
        nick = self.relay.nicks["input"]
        return Status(nick, channel, topic, self.tokens, engine.n_ctx, self._speed, engine.name)

    # What the actions are made of

    def dispatch(self, line: str, *, edits: bool = False) -> Iterator[Event]:
        """Do what a line says, errors raised; `edits` puts a message in the last turn's place."""
        match parse(line):
            case Say(content):
                yield from self.say(content, line, edits=edits)
            case Wildcard(name, argument):
                lines = rules.wildcard(self.relay.nicks, "input", name, argument)
                yield from self.turn(line, lines, awaits=True, edits=edits)
                yield from self.answer()
            case Call(name, argument):
                yield from ACTIONS[name](self, argument, line)

    def say(self, content: str, line: str, *, edits: bool = False) -> Iterator[Event]:
        """The human says something, the model answers."""
        message = Message(self.relay.nicks["input"], content)
        yield from self.turn(line or rules.SILENCE, [message], awaits=True, edits=edits)
        yield from self.answer()

    def open_scene(self, line: str, role: Role, channel: str) -> Iterator[Event]:
        """`role` joins a channel; the context before is gone from the model's sight."""
        lines = rules.join(self.relay.nicks, role, channel)
        yield from self.turn(line, lines, channel=channel)

    def turn(
        self,
        line: str,
        lines: Sequence[Message],
        *,
        channel: str = "",
        awaits: bool = False,
        edits: bool = False,
        generated: Said | None = None,
    ) -> Iterator[Event]:
        """Add a turn, if the context has room for it.

        Args:
            line: as typed; empty if the program does this by itself.
            lines: what it writes into the context.
            channel: where a new scene begins, if one does.
            awaits: whether the model answers.
            edits: whether it takes the place of the last turn.
            generated: the event of a line that the model wrote.
        """
        fresh = bool(channel)
        self._sync(self.transcript.apply(Undone()) if edits else self.transcript)
        try:
            self.relay.check_room(lines, fresh=fresh, answered=awaits)
        finally:
            self._sync(self.transcript)
        ids = self.relay.encoder.body(lines[0].nick, lines[0].content) if generated else ()
        self.record(Turned(line, tuple(lines), self._now(), fresh, channel, awaits, edits, ids))
        if generated:
            yield generated
            return
        for message, tokens in zip(lines, self.relay.sizes(lines), strict=True):
            yield Said(message, tokens)

    def answer(self) -> Iterator[Event]:
        """Let the model answer the last turn, for the first time or once more."""
        last = self.transcript.last
        again = last is not None and bool(last.answers)
        said = None if self._cancelled else (yield from self.speak("model", without_last=again))
        if said is not None:
            yield from self.keep("alternative" if again else "reply", said)
        elif again:
            yield Notice("* The reply stays as it was.")
        else:
            yield Notice("* No reply; /retry asks again.")

    def keep(self, how: Literal["reply", "alternative", "continue"], said: Said) -> Iterator[Event]:
        """Add a generated reply to the last turn."""
        message = said.message
        ids = self.relay.encoder.body(message.nick, message.content)
        self.record(Answered(how, message, ids, self._now()))
        yield said

    def speak(
        self, role: Role, opening: str = "", *, without_last: bool = False
    ) -> Generator[Event, None, Said | None]:
        """Generate a message of `role`; `without_last` leaves the last one out of the prompt.

        Returns:
            The message, which is not yet part of the conversation; None without a single token.
        """
        self._sync(self.transcript)
        if without_last:
            self.relay.context = self.relay.context[:-1]
        said: Said | None = None
        try:
            for event in self.relay.speak(role, opening):
                match event:
                    case Said(tokens=tokens, seconds=seconds, reason=reason):
                        said = event
                        # The last token is evaluated only if the model then ends its turn.
                        evaluated = tokens if reason == "stop" else tokens - 1
                        if seconds and evaluated > 0:
                            self._speed = evaluated / seconds
                    case Trimmed(indices):
                        self.record(Forgot(indices), sync=False)
                        yield event
                    case _:
                        yield event
        finally:
            self._sync(self.transcript)
        return said

    def record(self, record: Record, *, sync: bool = True) -> None:
        """Change the conversation, and save the change."""
        self.transcript = self.transcript.apply(record)
        if sync:
            self._sync(self.transcript)
        if self._store is None:
            return
        try:
            self._store.append(record)
        except StoreError as error:
            if not self._unsaved:
                self._notes.append(Notice(f"* {error}"))
            self._unsaved = True
        else:
            if self._unsaved:
                self._notes.append(Notice("* The session is saved again."))
            self._unsaved = False

    def save(self, name: str) -> str | None:
        """Name the session, unless `name` is empty; the name it has now.

        Raises:
            StoreError: the name is taken or cannot be one, or nothing is saved at all.
        """
        if self._store is None:
            raise StoreError("This chat is not saved.")
        if name:
            self._store.rename(name)
        return self._store.name

    def export(self, style: str) -> Path:
        """Write the scene, forgotten turns included, into a new file; its path.

        Raises:
            OSError: it cannot be written.
        """
        return write(
            (dated for turn in self.transcript.scene for dated in turn.dated),
            style,
            self._exports,
            channel=self.transcript.channel,
            model=self.relay.engine.name,
            now=self._now(),
        )

    def _guard(self, events: Iterator[Event], line: str = "") -> Iterator[Event]:
        """Pass events on, and make errors and notes into events too."""
        self._busy, self._cancelled = True, False
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
        while self._notes:
            yield self._notes.pop(0)

    def _remember(self, record: Record) -> None:
        """Give the encoder the ids of what a model wrote in a saved session."""
        match record:
            case Answered(message=message, ids=ids):
                self.relay.encoder.recall(message.nick, message.content, ids)
            case Turned(messages=(message, *_), ids=ids) if ids:
                self.relay.encoder.recall(message.nick, message.content, ids)

    def _sync(self, transcript: Transcript) -> None:
        """Show the relay what a transcript says."""
        self.relay.context = [{"role": m.nick, "content": m.content} for m in transcript.context]
        self.relay.channel = transcript.channel


def _savable(text: str) -> str:
    """Text without lone surrogates, which a broken terminal can send and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
