"""CAST, INVITE and KICK of the model's people: on the network, in the list and in the scene."""

from __future__ import annotations

from functools import partial
from typing import Final

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.company.person import Person
from relay_gguf.conversation.messages import NICKS
from relay_gguf.errors import CommandError
from relay_gguf.irc.bot.scene import Scene
from relay_gguf.irc.bot.stage import Stage
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import ServerActions, Target
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.protocol.names import clean, fold

from .cast_list import CastList
from .cast_order import read_cast

REALNAME: Final = 150
"""Bytes of a bio that WHO shows."""


class Castings:
    """Changes who of the model's people is where."""

    def __init__(self, people: CastList, stage: Stage, model: str) -> None:
        """Change a list of people and the scenes on a stage; `attach` brings the network.

        `model` is the name of the model that plays them.
        """
        self._people = people
        self._model = model
        self._stage = stage

    def attach(self, server: ServerActions) -> None:
        """Keep the server, to act on it."""
        self._server = server

    def persona(self, person: Person) -> Persona:
        """One of the people as a user of the network, whose real name is the bio."""
        nick = self._people.nick_on_network(person.nick)
        return Persona(
            nick, realname=clean(person.bio, REALNAME) or f"{self._model}, a language model"
        )

    def bio(self, person: Person, scene: Scene | None) -> str:
        """The bio of one of the people; of the model by itself the one in a scene, if any."""
        is_main = person.nick == NICKS["model"]
        return scene.bio if is_main and scene is not None and scene.bio else person.introduction

    async def cast(self, scene: Scene, where: Target, client: Client, argument: str) -> None:
        """CAST: bring one of the people with a bio, or give a bio to the one who is there.

        Raises:
            CommandError: it cannot be done; the text says why.
        """
        person = read_cast(argument, lambda nick: self._people.find(nick) is not None)
        here = scene.people
        if person is None:
            sole = next((one for one in here if one.nick == NICKS["model"]), here[0])
            if len(here) > 1 and sole.nick != NICKS["model"]:
                nicks = " and ".join(one.nick for one in here)
                raise CommandError(
                    f"{nicks} are here: say whose bio it is, as in CAST {here[0].nick}: {argument}"
                )
            person = Person(self._people.nick_on_network(sole.nick), argument)
        nick = self._people.nick_in_scenes(person.nick)
        self._people.check_nick(person.nick)
        person = Person(nick, person.bio)
        if nick == NICKS["model"] and any(one.nick == nick for one in here):
            submit = partial(scene.session.submit, f"/cast {person.bio}")
            await self._stage.run(scene, where, client, submit, quiet=False)
            return
        if isinstance(where, str):
            await self._bring(scene, where, client, person)
        elif [one.nick for one in here] == [nick]:
            self._people.know(person)
            self._server.introduce(self.persona(person))
            await self._introduce(scene, where, client, [person], quiet=False)
        else:
            raise CommandError("People come into channels, not into private talks.")

    async def invite(self, scene: Scene, channel: str, client: Client, nick: str) -> None:
        """INVITE: bring one of the people back.

        Raises:
            CommandError: it cannot be done; the text says why.
        """
        person = self._people.find(nick)
        if person is None:
            raise CommandError(f"{nick} does not come into channels.")
        lines = rules.wildcard(NICKS, "input", "/invite", person.nick)
        add = partial(scene.session.add, "", *lines)
        await self._stage.run(scene, channel, client, add, quiet=True)
        await self._bring(scene, channel, client, person)

    def kick(self, channel: str, client: Client, nick: str, reason: str) -> bool:
        """KICK: send one of the people away at once; False for the last one in a channel."""
        gone = self._people.nick_in_scenes(nick)
        here = [one.nick for one in self._people.here(channel)]
        if gone not in here or len(here) < 2:
            return False
        self._people.remove(channel, gone)
        self._server.send_away(channel, nick, client, reason)
        self._stage.interrupt(channel)
        self._server.enqueue(channel, partial(self._went, channel, client, gone))
        return True

    async def _went(self, channel: str, client: Client, nick: str) -> None:
        scene = self._stage.scene(channel)
        if scene is not None:
            scene.seat(self._people.here(channel))
            lines = rules.wildcard(NICKS, "input", "/kick", nick)
            add = partial(scene.session.add, "", *lines)
            await self._stage.run(scene, channel, client, add, quiet=True)

    async def _bring(self, scene: Scene, channel: str, client: Client, person: Person) -> None:
        """Let one of the people be in a channel, with the bio.

        Raises:
            CommandError: a client has the nick, or there are too many people.
        """
        before = self._people.here(channel)
        self._people.check(channel, person)
        if not self._server.introduce(self.persona(person)):
            raise CommandError(f"Somebody else is called {person.nick}.")
        self._people.add(channel, person)
        new = [] if any(fold(one.nick) == fold(person.nick) for one in before) else [person]
        self._server.bring(channel, self._people.nick_on_network(person.nick))
        scene.seat(self._people.here(channel))
        await self._introduce(scene, channel, client, new or [person], quiet=False)

    async def _introduce(
        self, scene: Scene, where: Target, client: Client, people: list[Person], *, quiet: bool
    ) -> None:
        introduce = partial(scene.introduce, people)
        await self._stage.run(scene, where, client, introduce, quiet=quiet)
