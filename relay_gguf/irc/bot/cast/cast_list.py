"""The people whom the model plays, and in which channel each is, in a file beside the scenes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.conversation.company.person import MOST_PEOPLE, Person, check_nick
from relay_gguf.conversation.messages import NICKS
from relay_gguf.disk import write_whole
from relay_gguf.errors import CommandError
from relay_gguf.irc.protocol.names import fold, is_channel

MOST_KNOWN: Final = 50
"""People on the network."""
MAIN: Final = NICKS["model"]
"""The nick in scenes of the model that nobody named; on the network it may have another."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Channel:
    """The nicks of those who are in a channel, and of those who were sent away."""

    here: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class CastList:
    """The people by their nicks in scenes, in `irc-channels/people.json`; None keeps nothing.

    Those of the command line are in every channel that they were not sent away from. A channel of
    which nothing is known has them, or else the model alone as `MAIN`.
    """

    def __init__(self, scenes: Path | None, main: str, cast: Sequence[Person] = ()) -> None:
        """Read the file beside a folder of `scenes`; one that cannot be read has nobody.

        Args:
            scenes: the folder; None keeps nothing.
            main: the nick of `MAIN` on the network.
            cast: the people of the command line, whose bios go before those of the file.
        """
        self._path = None
        self._main = main
        self._people: dict[str, Person] = {}
        self._channels: dict[str, _Channel] = {}
        if scenes is not None:
            self._path = scenes.with_name(f"{scenes.name}-channels") / "people.json"
            with suppress(OSError, ValueError, TypeError, LookupError, CommandError):
                self._read(json.loads(self._path.read_bytes()))
        self._cast = [self._known(self.nick_in_scenes(one.nick), one.bio) for one in cast]

    def _read(self, fields: Any) -> None:
        for nick, bio in dict(fields["people"]).items():
            check_nick(nick)
            self._known(nick, str(bio))
        for channel, told in dict(fields["channels"]).items():
            here, gone = tuple(map(str, told["here"])), tuple(map(str, told["gone"]))
            self._channels[fold(channel)] = _Channel(here, gone)

    # Nicks

    def nick_in_scenes(self, nick: str) -> str:
        """The nick in scenes of somebody's on the network; '' if nobody can have it there."""
        if fold(nick) == fold(self._main):
            return MAIN
        if fold(nick) == MAIN:
            return ""
        known = self._people.get(fold(nick))
        return known.nick if known else nick

    def nick_on_network(self, nick: str) -> str:
        """The nick on the network of somebody's in scenes."""
        return self._main if nick == MAIN else nick

    def check_nick(self, nick: str) -> None:
        """Refuse a nick on the network that means another in scenes.

        Raises:
            CommandError: it is that of `MAIN`, who has another one.
        """
        if fold(nick) == MAIN and fold(self._main) != MAIN:
            raise CommandError(f"{self._main} is {MAIN} in scenes: nobody else can be called so.")

    # Who there is

    @property
    def everybody(self) -> list[Person]:
        """All people, by their nicks in scenes; `MAIN` if it is played at all."""
        plays = not self._cast or any(MAIN in channel.here for channel in self._channels.values())
        people = {MAIN: Person(MAIN)} if plays else {}
        return list({**people, **{one.nick: one for one in self._people.values()}}.values())

    def find(self, nick: str) -> Person | None:
        """One of the people, by the nick on the network."""
        return next((one for one in self.everybody if one.nick == self.nick_in_scenes(nick)), None)

    def here(self, channel: str) -> list[Person]:
        """Who is in a channel, one at least."""
        known = self._channels.get(fold(channel), _Channel())
        nicks = list(known.here) or ([] if self._cast else [MAIN])
        for person in self._cast:
            if person.nick not in nicks and person.nick not in known.gone:
                nicks.append(person.nick)
        people = {MAIN: Person(MAIN), **{one.nick: one for one in self._people.values()}}
        return [people[nick] for nick in nicks if nick in people] or [people[MAIN]]

    def at(self, place: str) -> list[Person]:
        """Whom the model plays in a channel or private talk, one at least."""
        if is_channel(place):
            return self.here(place)
        _, _, nick = place.partition(" ")
        return [self.find(nick or self._main) or Person(MAIN)]

    def nicks(self, place: str) -> list[str]:
        """Their nicks on the network."""
        people = self.at(place) if place else self.here("")
        return [self.nick_on_network(one.nick) for one in people]

    # Changes

    def check(self, channel: str, person: Person) -> None:
        """Refuse one more person where there are too many.

        Raises:
            CommandError: there are, in the channel or at all.
        """
        here = self.here(channel)
        if len(here) >= MOST_PEOPLE and person.nick not in [one.nick for one in here]:
            raise CommandError(f"{MOST_PEOPLE} people of the model are here: /kick one first.")
        if len(self._people) >= MOST_KNOWN and fold(person.nick) not in self._people:
            raise CommandError(f"There are {MOST_KNOWN} people of the model already.")

    def add(self, channel: str, person: Person) -> None:
        """Let somebody be in a channel, one of the people or a new one; see `check`."""
        here = [one.nick for one in self.here(channel)]
        gone = self._channels.get(fold(channel), _Channel()).gone
        self._known(person.nick, person.bio)
        self._set(channel, [*here, person.nick], [nick for nick in gone if nick != person.nick])

    def know(self, person: Person) -> None:
        """Give one of the people another bio."""
        self._known(person.nick, person.bio)
        self._save()

    def remove(self, channel: str, nick: str) -> None:
        """Let one of the people, by the nick in scenes, be in a channel no more."""
        gone = self._channels.get(fold(channel), _Channel()).gone
        here = [one.nick for one in self.here(channel) if one.nick != nick]
        self._set(channel, here, [*gone, nick])

    def settle(self, channel: str) -> None:
        """Keep who is in a channel, unless that is the model alone or is kept already."""
        here = [one.nick for one in self.here(channel)]
        known = self._channels.get(fold(channel), _Channel())
        if tuple(here) != known.here and here != [MAIN]:
            self._set(channel, here, known.gone)

    def _known(self, nick: str, bio: str) -> Person:
        person = self._people[fold(nick)] = Person(nick, bio)
        return person

    def _set(self, channel: str, here: Sequence[str], gone: Sequence[str]) -> None:
        self._channels[fold(channel)] = _Channel(
            tuple(dict.fromkeys(here)), tuple(dict.fromkeys(gone))
        )
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        fields = {
            "people": {one.nick: one.bio for one in self._people.values()},
            "channels": {
                name: {"here": channel.here, "gone": channel.gone}
                for name, channel in self._channels.items()
            },
        }
        data = json.dumps(fields, ensure_ascii=False, indent=1)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, data.encode("utf-8", "replace"))
            self._path.chmod(0o600)
        except OSError as error:
            _log.warning("cannot keep who is in the channels: %s", error.strerror)
