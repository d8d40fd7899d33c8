"""The stage of a bot: the scenes in use, and what is done in them, shown in their channels.

There is one engine, at which scenes take turns, or have seats side by side. The events of a session
are shown in the channel as they come; messages that clients send there meanwhile wait in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from relay_gguf.conversation.commands import spell
from relay_gguf.conversation.company.person import Person, is_named
from relay_gguf.conversation.events import Event
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import ServerActions, Target

from .addressing import answers_at_once, heard
from .bot_config import BotConfig
from .channel_log import ChannelLog
from .open_scenes import OpenScenes
from .order_target import where_heard
from .pauses import Pauses
from .presenter import Presenter
from .runner import Runner
from .scene import ALONE, Scene


class Stage:
    """The scenes of a bot, and the threads in which they are played.

    `scenes` are those in use.
    """

    def __init__(
        self, config: BotConfig, log: ChannelLog, people: Callable[[str], Sequence[Person]]
    ) -> None:
        """Nothing is played yet; a server, which `attach` brings, shows it.

        Args:
            config: the bot's engine, which stays the caller's, and its options.
            log: where messages in channels are written.
            people: whom the model plays in a channel or private talk.
        """
        self._config = config
        self._log = log
        self._people = people
        self.scenes = OpenScenes(config, lambda place: self._server.clients(place), people)
        self._pauses = Pauses(config.pause)
        self._breaths = Pauses(config.breath)
        self._chatting: set[Scene] = set()
        self._runner = Runner(config.n_at_once)

    def attach(self, server: ServerActions) -> None:
        """Keep the server, to speak on it."""
        self._server = server

    def close(self) -> None:
        """Stop a reply in flight and close the sessions, once the server has stopped."""
        self._pauses.close()
        self._breaths.close()
        self._runner.close()
        self.scenes.close()

    def scene(self, place: str) -> Scene | None:
        """The scene of a channel or nick; None, and a notice there, if its file cannot be used."""
        return self.scenes.get(place, self._server.inform)

    async def run(
        self,
        scene: Scene,
        where: Target,
        client: Client,
        events: Callable[[], Iterator[Event]],
        *,
        quiet: bool,
    ) -> None:
        """Run a method of a scene's session in its turn, and show its events as they come."""
        presenter = Presenter(
            self._server,
            where,
            client,
            nick=self._config.nick,
            quiet=quiet,
            log=self._log,
            standing=scene.standing,
        )
        await self._runner.run(scene, events, presenter)
        self._breathe(scene, where, client)

    async def begin(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene, if that was not done; introduce those who came since."""
        scene.seat(self._people(scene.channel))
        if scene.is_new:
            await self.run(scene, where, client, scene.begin, quiet=True)
        elif scene.has_strangers:
            introduce = partial(scene.introduce, scene.people)
            await self.run(scene, where, client, introduce, quiet=True)

    async def begin_anew(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene anew in the same place, without its topic."""
        await self.run(scene, where, client, scene.begin, quiet=True)
        if isinstance(where, str):
            self._server.set_topic(where, "", self._called(scene.people[0].nick))
        self._server.inform(where, "The scene begins anew.")

    async def hear(self, scene: Scene, where: Target, client: Client, text: str) -> None:
        """Answer a message at once, after a pause, or not at all."""
        reply = self._config.reply
        self._pauses.cancel(scene.channel)
        nicks = [self._called(person.nick) for person in scene.people]
        several = isinstance(where, str) and len(self._server.clients(where)) > 1
        if len(nicks) > 1:  # each reads it in a view of its own
            said = f"{client.nick}: {text}"
            named = bool(scene.ensemble.spoken_to(text, scene.ensemble.members))
        else:
            said = heard(text, nicks[0], client.nick, several=several)
            named = is_named(text, nicks[0])
        if answers_at_once(reply, several=several, named=named):
            submit = partial(scene.session.submit, spell(said))
            await self.run(scene, where, client, submit, quiet=True)
            return
        await self.run(scene, where, client, partial(scene.session.hear, said), quiet=True)
        if reply != "mention":
            answer = partial(self._answer_late, scene.channel, where, client)
            self._pauses.start(scene.channel, partial(self._server.enqueue, where, answer))

    async def _answer_late(self, place: str, where: Target, client: Client) -> None:
        """Answer what was heard before a pause; the scene may have been closed meanwhile."""
        scene = self.scene(place)
        if scene is not None:
            await self.run(scene, where, client, scene.session.reply, quiet=True)

    # What the people say to each other

    def _breathe(self, scene: Scene, where: Target, client: Client) -> None:
        """Let one of the people go on after a breath, if one would: meanwhile a human may speak."""
        if isinstance(where, str) and scene.ensemble.goes_on and self._server.clients(where):
            more = partial(self._go_on, scene.channel, where, client)
            self._breaths.start(scene.channel, partial(self._server.enqueue, where, more))

    async def _go_on(self, place: str, where: Target, client: Client) -> None:
        scene = self.scenes.find(place)
        if scene is None or not scene.ensemble.goes_on or not self._server.clients(place):
            return
        self._chatting.add(scene)
        try:
            await self.run(scene, where, client, scene.more, quiet=True)
        finally:
            self._chatting.discard(scene)

    def interrupt(self, place: str) -> None:
        """A human speaks: what the people only say to each other ends, and is not said."""
        self._breaths.cancel(place)
        scene = self.scenes.find(place)
        if scene is not None:
            scene.ensemble.hush()
        if scene in self._chatting:
            self._runner.cancel(scene)

    # What keeps it from speaking

    def typing(self, target: str) -> None:
        """Somebody who types is not interrupted: the pause begins again."""
        self._pauses.restart(target)
        self._breaths.restart(target)

    def empty(self, channel: str) -> None:
        """Nobody is in a channel: do not wait for a pause in it."""
        self._pauses.cancel(channel)
        self._breaths.cancel(channel)

    def cancel(self, client: Client, place: str) -> None:
        """Stop the reply in flight in a place, and drop the messages and orders that wait there."""
        self._server.drop(where_heard(client, place))
        self._breaths.cancel(place)
        if (scene := self.scenes.find(place)) is not None:
            scene.ensemble.hush()
            self._runner.cancel(scene)

    def _called(self, nick: str) -> str:
        """The nick on the network of one of the people."""
        return self._config.nick if nick == ALONE.nick else nick
