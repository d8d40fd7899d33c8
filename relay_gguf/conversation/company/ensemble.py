"""A conversation in which the model plays several people.

A human's line is answered by whom it speaks to, or by whose turn it is. After that the people may
say something to each other, `chatter` times at most: only a human's word lets them go on. So nobody
answers without an end, whatever the model writes.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.dialogue import Dialogue, Keep, Speaking
from relay_gguf.conversation.events import Event, Said, Trimmed
from relay_gguf.conversation.messages import NICKS, Message, Role
from relay_gguf.conversation.transcript import Forgot, Turned

from .person import Person
from .turn_taking import addressed, in_turn
from .view import HUMAN, MODEL, people_of
from .voices import Voices

CHATTER: Final = 2
"""Lines that the people say to each other after a human's, unless told otherwise."""
WILLING: Final = 0.5
"""How likely somebody says something to a line that names nobody."""


class Ensemble(Dialogue):
    """A dialogue whose model is one person or several, by their nicks in the messages.

    `chatter` is the most that they say to each other after a human's line, `willing` how likely
    somebody does so unasked, and `at_once` whether those who are asked together answer at the same
    time. Alone, `user` makes it a `Dialogue` like any other.
    """

    def __init__(
        self,
        voices: Voices,
        folder: Path | None = None,
        *,
        members: Sequence[str] = (MODEL,),
        chatter: int = CHATTER,
        willing: float = WILLING,
        seats_saved: bool = False,
        drops_cancelled: bool = True,
        **options: Any,
    ) -> None:
        """Begin a new session.

        Args:
            voices: write the people's messages.
            folder: where sessions are saved; None saves nothing.
            members: the people in the channel.
            chatter, willing: see above.
            seats_saved: whether who takes part in a session that goes on is here from then on,
                and nobody else but `user`.
            drops_cancelled: whether what the people say to each other is dropped when it is
                cancelled; where it is shown word by word, it stays.
            options: as for a `Dialogue`.
        """
        super().__init__(voices, folder, **options)
        self.voices = voices
        self.chatter, self.willing = chatter, willing
        self.at_once = voices.has_seats
        self._seats_saved, self._drops_cancelled = seats_saved, drops_cancelled
        self._chance = random.Random(voices.seed)
        self._left = 0
        self._next: str | None = None
        self.seat(members)

    # Who is here

    def seat(self, members: Sequence[str]) -> None:
        """Say who is in the channel: at least one."""
        self.members = tuple(members)
        self._next = None
        self._look_around()

    def introduce(self, person: Person, line: str = "") -> Iterator[Event]:
        """Give one of the people a bio, unless it is the one that the model reads already.

        Raises:
            ContextError: there is no room for it.
        """
        if not self.knows(person):
            yield from self.turn(line, person.lines)

    def knows(self, person: Person) -> bool:
        """Whether the model reads the bio of one of the people, if there is one."""
        if not person.bio:
            return True
        begin = f"* {person.nick}'s bio: "
        lines = (m for m in reversed(self.transcript.context) if m.content.startswith(begin))
        return next(lines, None) == person.lines[-1]

    def bio_of(self, nick: str) -> str:
        """The bio of one of the people as the model reads it; empty for none."""
        begin = f"* {nick}'s bio: "
        bios = (m.content for m in self.transcript.context if m.content.startswith(begin))
        return "".join(list(bios)[-1:]).removeprefix(begin)

    def resume(self, name: str) -> Iterator[Event]:
        """Go on with a saved session, as `Dialogue.resume`; those who spoke there are here."""
        yield from super().resume(name)
        if self._seats_saved:
            self.members = (MODEL, *people_of([message for _, message in self.transcript.dated]))
        self._next = None
        self._look_around()

    def _look_around(self) -> None:
        """Find out whether there are several, now or before, and who may speak next."""
        others = people_of([message for _, message in self.transcript.dated])
        self.voices.several = len({*self.members, *others}) > 1
        self.voices.speaker = self.last_speaker

    def slap(self, nick: str) -> Iterator[Event]:
        """The human slaps one of the people with a trout, or the last who spoke; who answers."""
        victim = nick if nick in self.members else self.last_speaker
        line = "/slap" if len(self.members) == 1 else f"/slap {victim}"
        lines = rules.slap({**NICKS, "model": victim}, "input")
        yield from self.turn(line, lines, awaits=True)
        yield from self.answer()

    # Who speaks

    def answer(self) -> Iterator[Event]:
        """Let those who are asked answer the last turn, or the one who did so answer again."""
        last = self.transcript.last
        if last is not None and last.answers:
            self.voices.speaker = last.answers[last.chosen].message.nick
            yield from super().answer()
            return
        self._left = self.chatter
        asked = self.asked(last.said.messages) if last is not None else [self.members[0]]
        if len(asked) > 1 and self.at_once and not self.cancelled:
            yield from self._answer_at_once(asked)
        else:
            self.voices.speaker = asked[0]
            yield from super().answer()
            for nick in asked[1:]:
                if not self.cancelled:
                    yield from self._follow(nick)
        self._consider()

    def asked(self, messages: Sequence[Message]) -> list[str]:
        """Who answers a human's messages: whom they speak to, or else whose turn it is."""
        if len(self.members) == 1:
            return list(self.members)
        content = messages[0].content if messages else ""
        if not self.voices.view(MODEL).human:
            speaker, colon, rest = content.partition(": ")
            content = rest if colon and " " not in speaker else content
        return self.spoken_to(content, self.members) or [in_turn(self.members, self._speakers())]

    def spoken_to(self, text: str, nicks: Sequence[str]) -> list[str]:
        """Whom of some people a text speaks to, by the nicks that others call them."""
        called = {self.voices.view(nick).called(nick): nick for nick in nicks}
        return [called[nick] for nick in addressed(text, list(called))]

    @property
    def last_speaker(self) -> str:
        """Who of the people spoke last; the first of them if nobody did."""
        spoke = [nick for nick in self._speakers() if nick in self.members]
        return spoke[-1] if spoke else self.members[0]

    @property
    def goes_on(self) -> bool:
        """Whether one of the people would say something more by `more`."""
        return self._next is not None and self._left > 0

    def more(self) -> Iterator[Event]:
        """Let one of the people say something to what another said, if one would.

        What is cancelled is dropped, if need be: a human has the word.
        """
        nick, self._next = self._next, None
        if nick in self.members and self._left > 0:
            self._left -= 1
            yield from self._follow(nick, chats=self._drops_cancelled)
            self._consider()

    def hush(self) -> None:
        """A human has the word: nobody goes on by themselves."""
        self._left = 0

    def speak(
        self, lines: Sequence[Message], role: Role, keep: Keep, opening: str = ""
    ) -> Speaking:
        """Generate as `Dialogue.speak`; who goes on with an own reply is who began it."""
        last = self.transcript.last
        if role == "model" and opening and last is not None and last.answers:
            self.voices.speaker = last.answers[last.chosen].message.nick
        return super().speak(lines, role, keep, opening)

    def _follow(self, nick: str, *, chats: bool = False) -> Iterator[Event]:
        """Let one of the people speak, to no line of a human's."""
        self.voices.speaker = nick

        def keep(said: Said) -> Iterator[Event]:
            if not (chats and said.reason == "cancelled"):
                yield from self._keep_after(said)

        yield from self.speak(self.transcript.context, "model", keep)

    def _keep_after(self, said: Said) -> Iterator[Event]:
        """Add a message of one of the people as a turn that nobody typed."""
        self.record(Turned("", (), self.now(), awaits=True))
        yield from self.keep("reply", said)

    def _consider(self) -> None:
        """Decide who says something to the last message, if anybody."""
        self._next = None
        context = self.transcript.context
        last = context[-1] if context else Message(HUMAN, "")
        others = [nick for nick in self.members if nick != last.nick]
        if self._left <= 0 or last.nick not in self.members or not others:
            return
        if named := self.spoken_to(last.content, others):
            self._next = named[0]
        elif self._chance.random() < self.willing:
            self._next = in_turn(others, self._speakers())

    def _speakers(self) -> list[str]:
        """Who spoke in this scene, in order."""
        return [message.nick for _, message in self.transcript.dated]

    # At the same time

    def _answer_at_once(self, asked: Sequence[str]) -> Iterator[Event]:
        """Let several people answer at the same time; who ends first is the first."""
        lines, told, left = self.transcript.context, _Told(), threading.Event()
        self.voices.seat_all(asked)
        threads = [
            threading.Thread(target=self._tell, args=(nick, lines, told, left), daemon=True)
            for nick in asked
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._keep_told(told, len(asked))
        finally:
            left.set()
            if any(thread.is_alive() for thread in threads):
                self.voices.cancel()
            for thread in threads:
                thread.join()

    def _tell(
        self, nick: str, lines: Sequence[Message], told: _Told, left: threading.Event
    ) -> None:
        end: BaseException | None = None
        try:
            for event in self.voices.speak_as(nick, lines):
                told.put(event)
                if self.cancelled or left.is_set():  # perhaps before this voice could be stopped
                    self.voices.cancel()
        except BaseException as error:  # raised in the thread of the conversation
            end = error
        told.put(end)

    def _keep_told(self, told: _Told, running: int) -> Iterator[Event]:
        """The events of several voices; each message is kept as it ends.

        Raises:
            Exception: what a voice raised, when all have ended.
        """
        error: BaseException | None = None
        answered = trimmed = False
        while running:
            match told.get():
                case None:
                    running -= 1
                case BaseException() as raised:
                    running, error = running - 1, error or raised
                case Said() as said if answered:
                    yield from self._keep_after(said)
                case Said() as said:
                    answered = True
                    yield from self.keep("reply", said)
                case Trimmed(indices) as event:
                    if not trimmed:  # another's are of the same context, and leave it with these
                        self.record(Forgot(indices))
                        yield event
                    trimmed = True
                case event:
                    yield event
        with suppress(IndexError):
            self.voices.speaker = self.transcript.context[-1].nick
        if error is not None:
            raise error


_Told = queue.SimpleQueue[Event | BaseException | None]
"""Events of several voices; None or an error ends one of them."""
