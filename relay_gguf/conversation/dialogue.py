"""A conversation as commands change it: what was said, its file, and the model that answers.

Every change is a record, applied to the transcript and appended to the session's file. What a
command cannot do is raised; `session` makes events of that.
"""

from __future__ import annotations

import time
from collections import abc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from relay_gguf.errors import StoreError

from . import messages as rules
from .commands import COMMANDS, near_miss
from .events import Event, Notice, Replayed, Said, Trimmed
from .export import write_scenes
from .generator import Generator
from .messages import DEFAULT_CHANNEL, NICKS, Message, Role, savable
from .records import SessionHeader
from .session_files import Title, named, sessions, titles
from .store import Store
from .transcript import Answered, Forgot, Record, Transcript, Turned, Undone, written
from .wording import lost_notice

SHOWN_AFTER_LOAD = 12
"""Messages shown of a session that was resumed."""

Speaking: TypeAlias = abc.Generator[Event, None, Said | None]
"""Events of a message being generated. It returns the message, or None without a single token."""
Keep: TypeAlias = Callable[[Said], Iterator[Event]]
"""What is done with a generated message, before the error that ended it is raised."""


class Dialogue:
    """A transcript, the file that it is saved in, and a generator: what commands are made of.

    `speed` is that of the last reply, in tokens a second. `notes` are events about saving, for
    the caller to take out and show. `cancelled` keeps `answer` from asking the model; the caller
    clears it with each new line. `listed` are the names of sessions that numbers mean.
    """

    def __init__(
        self,
        generator: Generator,
        folder: Path | None = None,
        *,
        channel: str = DEFAULT_CHANNEL,
        name: str | None = None,
        path: str = "",
        exports: Path | None = None,
        piped: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin a new session; nothing is written before something was said.

        Args:
            generator: writes the model's messages.
            folder: where sessions are saved; None saves nothing.
            channel: of the first scene.
            name: under which the session will be saved; None is the time.
            path: of the model's file, to find it again with --resume.
            exports: the folder that /export writes to; None is the current one.
            piped: whether lines come from a script; a bare --resume passes its sessions over.
            now: the clock, in Unix time.
        """
        self.generator = generator
        self.transcript = Transcript()
        self.first_channel = savable(channel).lstrip("#") or DEFAULT_CHANNEL
        self.speed = 0.0
        self.notes: list[Event] = []
        self.cancelled = False
        self._folder = folder
        self._exports = exports or Path()
        self.now = now
        self._unsaved = False
        vocabulary = generator.engine.vocabulary if folder else ""
        self._header = SessionHeader(generator.engine.name, path, vocabulary, piped)
        self._new_name = name
        self.listed: list[str] = []
        self._store = Store(folder, self._header, new_name=name) if folder else None

    # What is said

    def say(self, content: str, line: str, *, edits: bool = False) -> Iterator[Event]:
        """The human says `content`, the model answers."""
        message = Message(NICKS["input"], content)
        yield from self.turn(line or rules.SILENCE, [message], awaits=True, edits=edits)
        yield from self.answer()

    def wildcard(
        self, name: str, argument: str, line: str, *, edits: bool = False
    ) -> Iterator[Event]:
        """The human uses a command that is not in the table, the model answers."""
        lines = rules.wildcard(NICKS, "input", name, argument)
        yield from self.turn(line, lines, awaits=True, edits=edits)
        if meant := near_miss(name):
            does = COMMANDS[meant].help
            yield Notice(f"* {name} was sent to the model; /{meant} is the command: {does}")
        yield from self.answer()

    def open_scene(self, line: str, role: Role, channel: str) -> Iterator[Event]:
        """`role` joins a channel; the context before is gone from the model's sight."""
        yield from self.turn(line, rules.join(NICKS, role, channel), channel=channel)

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
            lines: the messages that it writes into the context.
            channel: where a new scene begins, if one does.
            awaits: whether the model answers.
            edits: whether it takes the place of the last turn.
            generated: the event of a line that the model wrote.

        Raises:
            ContextError: there is no room; nothing is changed.
        """
        fresh = bool(channel)
        before = self.transcript.apply(Undone()) if edits else self.transcript
        context = () if fresh else before.context
        self.generator.check_room([*context, *lines], answered=awaits)
        ids = self._ids(lines[0]) if generated else ()
        self.record(
            Turned(
                line=line,
                messages=tuple(lines),
                time=self.now(),
                fresh=fresh,
                channel=channel,
                awaits=awaits,
                edits=edits,
                ids=ids,
            )
        )
        if generated:
            yield generated
            return
        for message, tokens in zip(lines, self.generator.sizes(lines), strict=True):
            yield Said(message, tokens)

    def answer(self) -> Iterator[Event]:
        """Let the model answer the last turn, for the first time or once more."""
        last, context = self.transcript.last, self.transcript.context
        known = [one.message.content for one in last.answers] if last else []
        said = None
        if known and not self.cancelled:
            another = self.generator.another(context[:-1], "model", known)
            said = yield from self._told(another, partial(self.keep, "alternative"))
        elif not self.cancelled:
            said = yield from self.speak(context, "model", partial(self.keep, "reply"))
        if said is None:
            stays, asks = "* The reply stays as it was.", "* No reply; /retry asks again."
            yield Notice(stays if known else asks)

    def keep(self, how: Literal["reply", "alternative", "continue"], said: Said) -> Iterator[Event]:
        """Add a generated reply to the last turn."""
        self.record(Answered(how, said.message, self._ids(said.message), self.now()))
        yield said

    def speak(
        self, lines: Sequence[Message], role: Role, keep: Keep, opening: str = ""
    ) -> Speaking:
        """Generate the message of `role` after `lines`, which are the context or its beginning.

        The message is part of the conversation only as far as `keep` sees to that.
        """
        return self._told(self.generator.speak(lines, role, opening), keep)

    def _told(self, events: Iterator[Event], keep: Keep) -> Speaking:
        said: Said | None = None
        for event in events:
            match event:
                case Said(tokens=tokens, seconds=seconds, reason=reason):
                    said = event
                    # The last token is evaluated only if the model then ends its turn.
                    evaluated = tokens if reason == "stop" else tokens - 1
                    if seconds and evaluated > 0:
                        self.speed = evaluated / seconds
                    yield from keep(event)
                case Trimmed(indices):
                    self.record(Forgot(indices))
                    yield event
                case _:
                    yield event
        return said

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler, and ask for no other."""
        self.cancelled = True
        self.generator.cancel()

    def record(self, record: Record) -> None:
        """Change the conversation, and save the change."""
        self.transcript = self.transcript.apply(record)
        if self._store is None:
            return
        try:
            lost = self._store.append(record)
        except StoreError as error:
            if not self._unsaved:
                self.notes.append(Notice(f"* {error}"))
            self._unsaved = True
        else:
            if lost is not None:
                self.notes.append(Notice(f"* {lost_notice(lost, self._store.name)}"))
            if self._unsaved:
                self.notes.append(Notice("* The session is saved again."))
            self._unsaved = False

    def _ids(self, message: Message) -> tuple[int, ...]:
        return self.generator.encoder.body(message.nick, message.content)

    @property
    def tokens(self) -> int:
        """Tokens that the context takes."""
        return self.generator.tokens(self.transcript.context)

    # Its file

    @property
    def name(self) -> str | None:
        """The name under which the session is saved; None before its first line."""
        return self._store.name if self._store else None

    @property
    def is_saved(self) -> bool:
        """Whether nothing waits to be saved; False without a folder, and after a failed write."""
        return self._store is not None and not self._unsaved

    @property
    def names(self) -> list[str]:
        """The names of all saved sessions, newest first."""
        return [path.stem for path in sessions(self._folder)] if self._folder else []

    def saved(self) -> Iterator[Title]:
        """All saved sessions, newest first; each file is read when it is asked for."""
        return titles(self._folder) if self._folder else iter(())

    def named(self, wanted: str) -> str:
        """The session that is meant by a name, its beginning, or a number of those `listed`.

        Raises:
            StoreError: none is meant, or several are.
        """
        return named(wanted, list(dict.fromkeys([*self.listed, *self.names])))

    def resume(self, name: str) -> Iterator[Event]:
        """Go on with a saved session.

        Raises:
            StoreError: there is none of this name, it is damaged, or another process has it.
        """
        if self._folder is None:
            raise StoreError("This chat is not saved.")
        store = Store(self._folder, self._header, name, new_name=self._new_name)
        try:
            saved = store.resume()
        except BaseException:
            store.close()
            raise
        self.close()
        self._store, self._unsaved = store, False
        self.transcript = saved.transcript
        for record, vocabulary in saved.entries:
            if vocabulary == self._header.vocabulary and (found := written(record)):
                self.generator.encoder.recall(*found)
        yield Replayed(tuple(self.transcript.dated)[-SHOWN_AFTER_LOAD:])
        yield Notice(f"* This is the session {name}.")
        if saved.torn:
            yield Notice("* Its last line was cut off while being written, and is gone.")
        if saved.header.vocabulary != self._header.vocabulary:
            yield Notice(f"* It was begun with {saved.header.model}; its text is tokenized anew.")

    def save(self, name: str) -> str | None:
        """Name the session, unless `name` is empty; returns the name that it has now.

        Raises:
            StoreError: the name is taken or cannot be one, or nothing is saved at all.
        """
        if self._store is None:
            raise StoreError("This chat is not saved.")
        if name:
            self._store.rename(name)
        return self._store.name

    def export(self, style: str, scene: int | None = -1) -> Path:
        """Write a scene, forgotten turns included, into a new file; returns its path.

        Args:
            style: a name in `export.FORMATS`.
            scene: its index, -1 is the one that plays now; None are all of them.

        Raises:
            KeyError, IndexError, OSError: no such format, no such scene; it cannot be written.
        """
        scenes = [(one.channel, one.dated) for one in self.transcript.scenes]
        chosen, model = scenes if scene is None else [scenes[scene]], self.generator.engine.name
        return write_scenes(chosen, style, self._exports, model=model, now=self.now())

    def close(self) -> None:
        """Release the session's file."""
        if self._store is not None:
            self._store.close()
