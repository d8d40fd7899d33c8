"""A channel, or a private talk, as a scene: a session of its own, under the channel's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path

from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message, is_notice
from relay_gguf.conversation.records import decode
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.store import is_stamp, session_path, sessions
from relay_gguf.engine import Engine
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.hooks import StoredChannel
from relay_gguf.sampling import SamplingParams

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class Scene:
    """A scene on an engine that others share."""

    def __init__(
        self,
        engine: Engine,
        sampling: SamplingParams,
        channel: str,
        folder: Path | None,
        *,
        path: str = "",
        exports: Path | None = None,
    ) -> None:
        """Take up the scene where it was left, if it was saved.

        Args:
            engine: the model.
            sampling: how it speaks.
            channel: with its #; of a private talk the nick.
            folder: where scenes are saved; None saves nothing.
            path: of the model's file.
            exports: where EXPORT writes.

        Raises:
            StoreError: its file is damaged, or another program has it.
        """
        self.channel = channel
        self.name = session_name(channel)
        dialogue = Dialogue(
            Generator(engine, sampling),
            folder,
            channel=self.place,
            name=self.name,
            path=path,
            exports=exports,
        )
        self.session = Session(dialogue)
        self.is_new = True
        if folder is not None and session_path(folder, self.name).exists():
            for _ in self.session.resume(self.name):
                pass
            self.is_new = False

    def begin(self) -> Iterator[Event]:
        """The first scene here, or a fresh one: the human joins."""
        yield from self.session.enter(self.place)
        self.is_new = False

    def set_topic(self, text: str) -> Iterator[Event]:
        """What the channel is about; nothing, once it is removed."""
        if text:
            yield from self.session.submit(f"/topic {text}")
            return
        yield from self.session.add(
            "/topic -delete",
            Message(NICKS["input"], "/topic -delete"),
            Message(NICKS["system"], f"* Topic for #{self.place} is: "),
        )

    @property
    def place(self) -> str:
        """The channel's name as the model reads it behind a #."""
        return self.channel.removeprefix("#") or DEFAULT_CHANNEL

    @property
    def bio(self) -> str:
        """Who the model is here; empty if nobody said."""
        return self.session.transcript.bio

    @property
    def topic(self) -> str:
        """What the channel is about; empty if nobody said."""
        return self.session.transcript.topic

    def past(self, limit: int) -> list[tuple[float, Message]]:
        """The last messages of the scene with their Unix times, the oldest first."""
        dated = self.session.transcript.dated
        said = [(when, message) for when, message in dated if _is_talk(message)]
        return said[-limit:] if limit else []


def session_name(channel: str) -> str:
    """Under which name a channel is saved: its own, as far as that can be a file's.

    The others, and private talks, have a space in theirs, which no channel can have: nobody joins
    one of them by its file's name.
    """
    name = channel.removeprefix("#")
    if channel.startswith("#") and _PLAIN.fullmatch(name) and not is_stamp(name):
        return name
    kind = "channel" if channel.startswith("#") else "private"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:30].strip("-")
    digest = sha256(channel.lower().encode()).hexdigest()[:16]
    return f"{kind} {readable} {digest}".replace("  ", " ")


def saved_channels(folder: Path, limit: int) -> list[StoredChannel]:
    """The channels used last, of those that were saved under their own name; and their turns."""
    found = []
    for path in islice(sessions(folder), limit):
        if session_name(f"#{path.stem}") != path.stem:
            continue  # a private talk, or a channel whose name is not told
        with suppress(OSError, StoreError):
            transcript = decode(path.read_bytes(), path).transcript
            topic, size = transcript.topic, len(transcript.scene)
            found.append(StoredChannel(f"#{path.stem}", topic, size))
    return found


def _is_talk(message: Message) -> bool:
    """What people said: no line of IRC's own, none of the commands that brought one about."""
    commands = ("/join #", "/topic ", "/whois ", "/slap ")  # of which IRC shows the outcome
    return not is_notice(message) and not message.content.startswith(commands)
