"""Several people at one keyboard's conversation: they answer a line, then go on by themselves.

On IRC, the bot lets the people go on between the lines of the humans. Where one human types, that
belongs to the line: it ends when they have said what they had to say, or when the next line comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from relay_gguf.conversation.commands import Call, parse
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.session import Session

from .ensemble import Ensemble
from .person import Person
from .view import MODEL


class Gathering(Session):
    """A session whose model is `user` and whoever else is seated; alone, it is any session."""

    def __init__(
        self,
        ensemble: Ensemble,
        *,
        watch: Callable[[Event], None] | None = None,
        reads_cards: bool = False,
    ) -> None:
        """Put an ensemble behind a front end; `watch` and `reads_cards` are a session's."""
        super().__init__(ensemble, watch=watch, reads_cards=reads_cards)
        self.ensemble = ensemble

    def seat(self, people: Sequence[Person]) -> Iterator[Event]:
        """Let people take part beside those who do, and the model read their bios."""
        members = (*self.ensemble.members, *(person.nick for person in people))
        self.ensemble.seat(list(dict.fromkeys(members)))
        for person in people:
            yield from self.perform(self.ensemble.introduce(person))

    def submit(self, line: str) -> Iterator[Event]:
        """Do what a typed line says, and let the people say something to what follows from it."""
        yield from super().submit(line)
        while self.ensemble.goes_on:
            yield from self.perform(self.ensemble.more())

    def hush(self) -> None:
        """The next line is waiting: nobody else begins to speak before it."""
        self.ensemble.hush()

    def cancel(self) -> None:
        """Stop the reply in flight, and what would follow it, from any thread."""
        self.ensemble.hush()
        super().cancel()

    def _dispatch(self, line: str) -> Iterator[Event]:
        match parse(line):
            case Call("slap", argument):
                yield from self.ensemble.slap(argument)
            case Call("join" | "reset"):  # a new scene, in which nobody knows them
                others = [nick for nick in self.ensemble.members if nick != MODEL]
                people = [Person(nick, self.ensemble.bio_of(nick)) for nick in others]
                yield from super()._dispatch(line)
                for person in people:
                    yield from self.ensemble.introduce(person)
            case _:
                yield from super()._dispatch(line)
