"""A scene: the conversation of a channel or a private talk, in a session of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from relay_gguf.conversation.company.ensemble import CHATTER, WILLING, Ensemble
from relay_gguf.conversation.company.person import Person
from relay_gguf.conversation.company.voices import Voices
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message, is_notice
from relay_gguf.conversation.records import decode
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.session_files import is_stamp, session_path, sessions
from relay_gguf.engine import Engine
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.hooks import StoredChannel
from relay_gguf.irc.protocol.names import fold
from relay_gguf.sampling import SamplingParams

ALONE: Final = Person(NICKS["model"])
"""The model, whom nobody has given another nick."""
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
        people: Sequence[Person] = (ALONE,),
        seat: Callable[[], Engine] | None = None,
        nick: str = ALONE.nick,
        chatter: int = CHATTER,
        willing: float = WILLING,
    ) -> None:
        """Go on with the scene if it was saved.

        Args:
            engine: the model.
            sampling: the sampling parameters of its replies.
            channel: with its #; for a private talk the nick.
            folder: where scenes are saved; None saves nothing.
            path: of the model's file.
            exports: where EXPORT writes.
            people: whom the model plays here, by their nicks in scenes.
            seat: an engine for one more person; None if they take turns at the same one.
            nick: that of `user` on the network.
            chatter, willing: as for an `Ensemble`.

        Raises:
            StoreError: its file is damaged, or another process has it open.
        """
        self.channel = channel
        self.name = session_name(channel)
        self.ensemble = Ensemble(
            Voices(engine, sampling, seat=seat, user=nick),
            folder,
            chatter=chatter,
            willing=willing,
            channel=self.place,
            name=self.name,
            path=path,
            exports=exports,
        )
        self.session = Session(self.ensemble)
        self.is_new = True
        self.runs = 0
        """Of its session, under way or waiting for their turn."""
        self.turn = asyncio.Lock()
        """Whoever runs the session has it: a nick and with it a scene may pass to somebody else."""
        if folder is not None and session_path(folder, self.name).exists():
            for _ in self.session.resume(self.name):
                pass
            self.is_new = False
        self.seat(people)

    def seat(self, people: Sequence[Person]) -> None:
        """Say whom the model plays here, one at least."""
        self.people = tuple(people)
        self.ensemble.seat([person.nick for person in people])

    def begin(self) -> Iterator[Event]:
        """Begin the scene, or begin it anew: the human joins the channel."""
        yield from self.session.enter(self.place)
        yield from self.introduce(self.people)
        self.is_new = False

    def introduce(self, people: Sequence[Person]) -> Iterator[Event]:
        """Let the model read the bios of people, those that it does not read already."""
        for person in people:
            yield from self.session.perform(self.ensemble.introduce(person))

    @property
    def has_strangers(self) -> bool:
        """Whether the model does not read the bio of one of the people yet."""
        return any(not self.ensemble.knows(person) for person in self.people)

    def more(self) -> Iterator[Event]:
        """Let one of the people say something to what another said, if one would."""
        yield from self.session.perform(self.ensemble.more())

    def slap(self, nick: str) -> Iterator[Event]:
        """Slap one of the people, who answers; the last who spoke if nobody here is meant."""
        yield from self.session.perform(self.ensemble.slap(nick))

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
        name, _, _ = self.channel.partition(" ")  # behind which stands who else is talked to
        return name.removeprefix("#") or DEFAULT_CHANNEL

    @property
    def bio(self) -> str:
        """The model's bio in this scene; '' if it has none."""
        return self.session.transcript.bio

    @property
    def topic(self) -> str:
        """The topic of the scene; '' if it has none."""
        return self.session.transcript.topic

    def standing(self) -> str:
        """Which of how many replies to the last words stands: `2/3`; '' if there is none."""
        last = self.session.transcript.last
        return f"{last.chosen + 1}/{len(last.answers)}" if last and last.answers else ""

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
    commands = (
        "/join #",
        "/topic ",
        "/whois ",
        "/slap ",
        "/invite ",
        "/kick ",
    )  # IRC shows their outcome
    return not is_notice(message) and not message.content.startswith(commands)
