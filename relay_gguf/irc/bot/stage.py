"""The stage of a bot: the scenes in use, and what is done in them, shown in their channels.

There is one engine, at which scenes take turns, or have seats side by side. The events of a session
are shown in the channel as they come; messages that clients send there meanwhile wait in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from relay_gguf.conversation.commands import spell
from relay_gguf.conversation.events import Event
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import ServerActions, Target

from .addressing import answers_at_once, heard, names
from .bot_config import BotConfig
from .channel_log import ChannelLog
from .open_scenes import OpenScenes
from .order_target import where_heard
from .pauses import Pauses
from .presenter import Presenter
from .runner import Runner
from .scene import Scene


class Stage:
    """The scenes of a bot, and the threads in which they are played.

    `scenes` are those in use.
    """

    def __init__(self, config: BotConfig, log: ChannelLog) -> None:
        """Nothing is played yet; a server, which `attach` brings, shows it.

        Args:
            config: the bot's engine, which stays the caller's, and its options.
            log: where messages in channels are written.
        """
        self._config = config
        self._log = log
        self.scenes = OpenScenes(config, lambda place: self._server.clients(place))
        self._pauses = Pauses(config.pause)
        self._runner = Runner(config.n_at_once)

    def attach(self, server: ServerActions) -> None:
        """Keep the server, to speak on it."""
        self._server = server

    def close(self) -> None:
        """Stop a reply in flight and close the sessions, once the server has stopped."""
        self._pauses.close()
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
            self._server, where, client, nick=self._config.nick, quiet=quiet, log=self._log
        )
        await self._runner.run(scene, events, presenter)

    async def begin(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene, if that was not done."""
        if scene.is_new:
            await self.run(scene, where, client, scene.begin, quiet=True)

    async def begin_anew(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene anew in the same place, without its topic."""
        await self.run(scene, where, client, scene.begin, quiet=True)
        if isinstance(where, str):
            self._server.set_topic(where, "", self._config.nick)
        self._server.inform(where, "The scene begins anew.")

    async def hear(self, scene: Scene, where: Target, client: Client, text: str) -> None:
        """Answer a message at once, after a pause, or not at all."""
        nick, reply = self._config.nick, self._config.reply
        self._pauses.cancel(scene.channel)
        several = isinstance(where, str) and len(self._server.clients(where)) > 1
        said = heard(text, nick, client.nick, several=several)
        if answers_at_once(reply, several=several, named=names(text, nick)):
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

    def typing(self, target: str) -> None:
        """Somebody who types is not interrupted: the pause begins again."""
        self._pauses.restart(target)

    def empty(self, channel: str) -> None:
        """Nobody is in a channel: do not wait for a pause in it."""
        self._pauses.cancel(channel)

    def cancel(self, client: Client, place: str) -> None:
        """Stop the reply in flight in a place, and drop the messages and orders that wait there."""
        self._server.drop(where_heard(client, place))
        if (scene := self.scenes.find(place)) is not None:
            self._runner.cancel(scene)
