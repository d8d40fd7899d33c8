"""The voices of several people: a generator for each, behind the one that a dialogue has.

Each reads the channel in its own view, so that each has a context of its own in the cache: a seat
at an engine that has seats, or its turn at one that has none. What their prompts begin with alike
is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from relay_gguf.conversation.events import Event, Prompted, Said, Trimmed, Typing
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import NICKS, Message, Role
from relay_gguf.conversation.prompt import Encoder
from relay_gguf.engine import Engine
from relay_gguf.sampling import SamplingParams

from .view import MODEL, View, role_of


class Voices(Generator):
    """Writes messages of several people, of whom `speaker` is the next.

    Alone, `user` reads the messages as they are, and all is as with a `Generator`.
    """

    def __init__(
        self,
        engine: Engine,
        params: SamplingParams,
        *,
        exact_trim: bool = False,
        seat: Callable[[], Engine] | None = None,
        user: str = MODEL,
        human: str = "",
    ) -> None:
        """Write with an engine, which stays the caller's to close.

        Args:
            engine, params, exact_trim: as for a `Generator`.
            seat: an engine for one more person; None for the same one, at which they take turns.
            user: how others call `user`.
            human: a name before what the human says, where several speak; see `View`.
        """
        super().__init__(engine, params, exact_trim=exact_trim)
        self.encoder = _PeopleEncoder(engine)
        self.speaker = MODEL
        self.several = False
        """Whether several people speak, now or before."""
        self._seat = seat
        self._user, self._human = user, human
        self._generators: dict[str, Generator] = {}

    @property
    def has_seats(self) -> bool:
        """Whether people can speak at the same time."""
        return self._seat is not None

    def view(self, nick: str) -> View:
        """How a person reads the channel."""
        return View(nick, self._user, self._human)

    def speak(self, lines: Sequence[Message], role: Role, opening: str = "") -> Iterator[Event]:
        """Generate as `Generator.speak`; the message of `model` is the speaker's."""
        yield from self.speak_as(self.speaker, lines, role, opening)

    def speak_as(
        self, nick: str, lines: Sequence[Message], role: Role = "model", opening: str = ""
    ) -> Iterator[Event]:
        """Generate the message of one of the people, or with `input` the human's as it reads it.

        Raises:
            ContextError, EngineError: as `Generator.speak`.
        """
        self._cancelled = False
        if self._is_plain(nick):
            yield from super().speak(lines, role, opening)
            return
        teller = nick if role == "model" else NICKS[role]
        name = f"{self._human}: " if self._human and role == "input" else ""
        generator, view = self._generator(nick), self.view(nick)
        for event in generator.speak(view.read(lines), role, name + opening):
            match event:
                case Trimmed(indices):
                    seen = view.seen(lines)
                    yield replace(event, indices=tuple(seen[index] for index in indices))
                case Prompted():
                    yield replace(event, nick=teller)
                case Typing(_, begun):
                    yield replace(event, nick=teller, opening=begun.removeprefix(name))
                case Said(message):
                    content = message.content.removeprefix(name)
                    yield replace(event, message=replace(message, nick=teller, content=content))
                case _:
                    yield event

    def beside(self, engine: Engine) -> Generator:
        """One that writes as the speaker with another engine on the same model."""
        plain = super().beside(engine)
        if self._is_plain(self.speaker):
            return plain
        other = Voices(
            engine, plain.params, exact_trim=self.exact_trim, user=self._user, human=self._human
        )
        other.encoder, other.speaker, other.several = self.encoder, self.speaker, self.several
        return other

    def prepare(self, lines: Sequence[Message], role: Role, opening: str = "") -> bool:
        """Let the engine read as `Generator.prepare`; not where several may answer."""
        return self._is_plain(self.speaker) and super().prepare(lines, role, opening)

    def cancel(self) -> None:
        """Stop all messages in flight."""
        super().cancel()
        for generator in list(self._generators.values()):
            generator.cancel()

    def sizes(self, lines: Iterable[Message]) -> list[int]:
        """Tokens that each message takes in the speaker's prompt; 0 for one that is not seen."""
        if self._is_plain(self.speaker):
            return super().sizes(lines)
        lines, view = list(lines), self.view(self.speaker)
        sizes = [0] * len(lines)
        found = self._generator(self.speaker).sizes(view.read(lines))
        for index, size in zip(view.seen(lines), found, strict=True):
            sizes[index] = size
        return sizes

    def check_room(self, lines: Sequence[Message], *, answered: bool) -> None:
        """Refuse as `Generator.check_room`, by the speaker's prompt."""
        if self._is_plain(self.speaker):
            super().check_room(lines, answered=answered)
            return
        read = self.view(self.speaker).read(lines)
        self._generator(self.speaker).check_room(read, answered=answered)

    def seat_all(self, nicks: Iterable[str]) -> None:
        """Give each of some people a place, before they speak at the same time."""
        for nick in nicks:
            self._generator(nick)

    def _is_plain(self, nick: str) -> bool:
        return nick == MODEL and not self.several

    def _generator(self, nick: str) -> Generator:
        """The generator of a person; that of `user` has our engine, another's has a seat."""
        if nick not in self._generators:
            engine = self._seat() if self._seat and nick != MODEL else self.engine
            self._generators[nick] = super().beside(engine)
        generator = self._generators[nick]
        generator.params = replace(self.params, seed=generator.params.seed)
        return generator


class _PeopleEncoder(Encoder):
    """Encodes what each of the people said as `user`'s, which it is in the own view."""

    def body(self, nick: str, content: str) -> tuple[int, ...]:
        return super().body(role_of(nick), content)

    def recall(self, message: Message, body: Sequence[int]) -> None:
        super().recall(replace(message, nick=role_of(message.nick)), body)
