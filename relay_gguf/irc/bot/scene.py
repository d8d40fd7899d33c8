"""A scene: the conversation of a channel or a private talk, in a session of its own."""

from __future__ import annotations

import asyncio
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
from relay_gguf.conversation.session_files import is_stamp, session_path, sessions
from relay_gguf.engine import Engine
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.hooks import StoredChannel
from relay_gguf.irc.protocol.names import fold
from relay_gguf.sampling import SamplingParams

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


class Scene:
    """The scene of a channel or private talk, on an engine that all share, or a seat at it."""

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
        """Go on with the scene if it was saved.

        Args:
            engine: the model.
            sampling: the sampling parameters of its replies.
            channel: with its #; for a private talk the nick.
            folder: where scenes are saved; None saves nothing.
            path: of the model's file.
            exports: where EXPORT writes.

        Raises:
            StoreError: its file is damaged, or another process has it open.
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
        self.runs = 0
        """Of its session, under way or waiting for their turn."""
        self.turn = asyncio.Lock()
        """Whoever runs the session has it: a nick and with it a scene may pass to somebody else."""
        if folder is not None and session_path(folder, self.name).exists():
            for _ in self.session.resume(self.name):
                pass
            self.is_new = False

    def begin(self) -> Iterator[Event]:
        """Begin the scene, or begin it anew: the human joins the channel."""
        yield from self.session.enter(self.place)
        self.is_new = False

    def set_topic(self, text: str) -> Iterator[Event]:
        """Set the topic, or remove it with ''."""
        if text:
            yield from self.session.submit(f"/topic {text}")
            return
        yield from self.session.add(
            "/topic -delete",
            Message(NICKS["input"], "/topic -delete"),
            Message(NICKS["system"], f"* Topic for #{self.place} is: "),
        )

    @property
    def can_close(self) -> bool:
        """Whether nothing is lost if it is closed now, to be opened again when it is needed."""
        return not self.runs and self.session.dialogue.is_saved

    @property
    def place(self) -> str:
        """The channel's name as the model reads it behind a #."""
        return self.channel.removeprefix("#") or DEFAULT_CHANNEL

    @property
    def bio(self) -> str:
        """The model's bio in this scene; '' if it has none."""
        return self.session.transcript.bio

    @property
    def topic(self) -> str:
        """The topic of the scene; '' if it has none."""
        return self.session.transcript.topic

    def past(self, limit: int) -> list[tuple[float, Message]]:
        """The last messages said, `limit` at most, oldest first, with their Unix times."""
        dated = self.session.transcript.dated
        said = [(when, message) for when, message in dated if _is_talk(message)]
        return said[-limit:] if limit else []


def session_name(channel: str) -> str:
    """The name of a channel's session: the channel's own, if a file can have it.

    Sessions of other channels and of private talks have a space in their name, which no channel
    can have: nobody can join a private talk as a channel.
    """
    name = channel.removeprefix("#")
    if channel.startswith("#") and _PLAIN.fullmatch(name) and not is_stamp(name):
        return name
    kind = "channel" if channel.startswith("#") else "private"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:30].strip("-")
    # Of what IRC takes for the same name: ÉVA and éva are two people, and have two files.
    digest = sha256(fold(channel).encode()).hexdigest()[:16]
    return f"{kind} {readable} {digest}".replace("  ", " ")


def saved_channels(folder: Path, limit: int) -> list[StoredChannel]:
    """The channels among the `limit` newest sessions, with topic and number of turns.

    Only channels whose session has their own name: the file does not tell the name of the others.
    """
    found = []
    for path in islice(sessions(folder), limit):
        if session_name(f"#{path.stem}") != path.stem:
            continue  # a private talk, or a channel whose name is not known
        with suppress(OSError, StoreError):
            transcript = decode(path.read_bytes(), path).transcript
            topic, size = transcript.topic, len(transcript.scene)
            found.append(StoredChannel(f"#{path.stem}", topic, size))
    return found


def _is_talk(message: Message) -> bool:
    """Whether a message was said, and is not a line of IRC or a command that leads to one."""
    commands = ("/join #", "/topic ", "/whois ", "/slap ")  # IRC shows their outcome
    return not is_notice(message) and not message.content.startswith(commands)
