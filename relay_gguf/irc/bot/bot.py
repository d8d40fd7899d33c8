"""The bot of a network: it is in every channel, and each channel is a scene of its own.

There is one engine and one thread, so scenes take turns. The events of a session are shown in the
channel as they come; messages that clients send meanwhile wait in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from relay_gguf.conversation.commands import spell
from relay_gguf.conversation.events import Event
from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import (
    Hooks,
    ServerActions,
    StoredChannel,
    StoredMessage,
    Target,
    Whois,
)
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.protocol.names import fold, is_channel

from .addressing import answers_at_once, heard, names
from .bot_config import BotConfig
from .channel_log import ChannelLog
from .open_scenes import OpenScenes, history_of, topic_of
from .order_target import OrderTargets
from .orders import Order, act, cheat_sheet, help_lines, parse_order, parse_prefixed, parse_raw
from .pauses import Pauses
from .presenter import Presenter
from .runner import Runner
from .scene import Scene, saved_channels

SERVICE: Final = "*relay"
"""The nick that takes orders as messages."""
_MOST_LISTED = 100


class Bot(Hooks):
    """The model as a member of every channel, and the service that takes orders for it."""

    def __init__(
        self,
        config: BotConfig,
        log: ChannelLog | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A bot without a server, which calls `attach`.

        Args:
            config: its engine, which stays the caller's, and its options.
            log: where channel events are written; None writes none.
            clock: in seconds.
        """
        self.config = config
        self.personas = (
            Persona(config.nick, realname=f"{config.engine.name}, a language model"),
            Persona(SERVICE, realname="orders: /msg *relay help", present=False),
        )
        self._log = log
        self._clock = clock
        self._scenes = OpenScenes(config)
        self._targets = OrderTargets(config.nick)
        self._pauses = Pauses(config.pause)
        self._runner = Runner()
        self._last_left: dict[str, tuple[Client, float]] = {}
        """Folded channel → the client that left it empty, and when."""

    def attach(self, server: ServerActions) -> None:
        """Keep the server, to speak on it."""
        self._server = server

    def motd(self) -> Sequence[str]:
        """The list of orders, and how a client sends them."""
        return cheat_sheet(self.config.nick)

    def close(self) -> None:
        """Stop a reply in flight and close the sessions, once the server has stopped."""
        self._pauses.close()
        self._runner.close()
        self._scenes.close()

    # Joining and leaving

    async def joined(self, client: Client, channel: str) -> None:
        """Begin the scene of a channel; begin it anew for a client that left just now (/cycle)."""
        if self._log is not None:
            self._log.joined(channel, client.nick, f"{client.username}@{client.host}")
        scene = self._scene(channel)
        self._targets.note(client, channel)
        who, left = self._last_left.pop(fold(channel), (None, 0.0))
        alone = len(self._server.clients(channel)) < 2
        if scene is None:
            return
        if scene.is_new:
            await self._run(scene, channel, client, scene.begin, quiet=True)
        elif alone and who is client and self._clock() - left < self.config.rejoin:
            await self._begin_anew(scene, channel, client)

    def leaving(self, client: Client, channel: str) -> None:
        """If the channel is empty now, stop the reply in flight and drop the messages that wait."""
        if not self._server.clients(channel):
            self._last_left[fold(channel)] = (client, self._clock())
            self._cancel(client, channel)

    async def parted(self, client: Client, channel: str) -> None:
        """If the channel is empty now, stop waiting for a pause in it."""
        if self._log is not None:
            self._log.left(channel, client.nick, f"{client.username}@{client.host}")
        key = fold(channel)
        if self._last_left.get(key, (None, 0.0))[0] is client:
            self._last_left[key] = (client, self._clock())  # time on the engine does not count
        if not self._server.clients(channel):
            self._pauses.cancel(channel)

    # Messages

    def overheard(self, client: Client, target: str, text: str) -> bool:
        """Do a cancel order at once: in its turn it would come after the reply that it cancels."""
        service = fold(target) == SERVICE
        order = parse_order(text) if service else parse_prefixed(text)
        if order is None or order.name != "cancel":
            return False
        place = target if is_channel(target) else client.nick
        self._cancel(client, self._resolve(client, order)[0] if service else place)
        return True

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        """Do the order that a message is, or answer it, or add it to the scene."""
        if kind == "notice":
            return
        if fold(target) == SERVICE:
            self._enqueue(client, parse_order(text) or Order("help"))
            return
        acts = kind == "action"
        order = act(text, self.config.nick) if acts else parse_prefixed(text)
        if self._log is not None and is_channel(target) and (acts or order is None):
            self._log.said(target, client.nick, text, action=acts)
        self._targets.note(client, target)
        place = target if is_channel(target) else client.nick
        where, scene = _where(client, place), self._scene(place)
        if scene is None:
            return
        if scene.is_new:
            await self._run(scene, where, client, scene.begin, quiet=True)
        if order is not None:
            await self._do(scene, where, client, order, quiet=acts)
            return
        self._pauses.cancel(scene.channel)
        await self._hear(scene, where, client, text)

    async def _hear(self, scene: Scene, where: Target, client: Client, text: str) -> None:
        """Answer a message at once, after a pause, or not at all."""
        nick, reply = self.config.nick, self.config.reply
        several = isinstance(where, str) and len(self._server.clients(where)) > 1
        said = heard(text, nick, client.nick, several=several)
        if answers_at_once(reply, several=several, named=names(text, nick)):
            submit = partial(scene.session.submit, spell(said))
            await self._run(scene, where, client, submit, quiet=True)
            return
        await self._run(scene, where, client, partial(scene.session.hear, said), quiet=True)
        if reply != "mention":
            answer = partial(self._run, scene, where, client, scene.session.reply, quiet=True)
            self._pauses.start(scene.channel, partial(self._server.enqueue, where, answer))

    async def typing(self, client: Client, target: str, state: str) -> None:
        """Somebody who types is not interrupted: the pause begins again."""
        if state == "active":
            self._pauses.restart(target)

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        """Set the topic of the scene."""
        if self._log is not None:
            self._log.topic(channel, client.nick, text)
        scene = self._scene(channel)
        if scene is not None:
            set_topic = partial(scene.set_topic, text)
            await self._run(scene, channel, client, set_topic, quiet=True)

    # Orders

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """Do the order that a raw command is; a made-up command is for the model."""
        if verb.upper() == "KICK":
            self._server.notice(client, f"{self.config.nick} stays: leave, or CYCLE.", SERVICE)
            return True
        order = parse_raw(raw)
        if order is None or not client.registered or not (order.known or self._place(client)):
            return False
        self._enqueue(client, order)
        return True

    def _enqueue(self, client: Client, order: Order) -> None:
        """Do an order in its turn; help and cancel are done at once."""
        place, order = self._resolve(client, order)
        if order.name == "cancel":
            self._cancel(client, place)
        elif order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif not place:
            self._server.notice(client, "Join a channel first.", SERVICE)
        else:
            self._server.enqueue(
                _where(client, place), partial(self._do_in_place, client, place, order)
            )

    async def _do_in_place(self, client: Client, place: str, order: Order) -> None:
        scene = self._scene(place)
        if scene is not None:
            await self._do(scene, _where(client, place), client, order)

    async def _do(
        self, scene: Scene, where: Target, client: Client, order: Order, *, quiet: bool = False
    ) -> None:
        """Do an order; `quiet` if the channel has seen it already, as an action."""
        if order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif order.name == "cycle":
            await self._begin_anew(scene, where, client)
        else:
            submit = partial(scene.session.submit, order.line)
            await self._run(scene, where, client, submit, quiet=quiet)

    async def _begin_anew(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene anew in the same place, without its topic."""
        await self._run(scene, where, client, scene.begin, quiet=True)
        if isinstance(where, str):
            self._server.set_topic(where, "", self.config.nick)
        self._server.inform(where, "The scene begins anew.")

    def _cancel(self, client: Client, place: str) -> None:
        """Stop the reply in flight in a place, and drop the messages and orders that wait there."""
        self._server.drop(_where(client, place))
        scene = self._scenes.find(place)
        if scene is not None:
            self._runner.cancel(scene)

    def _place(self, client: Client) -> str:
        return self._targets.last(client, self._server.channel_names(client))

    def _resolve(self, client: Client, order: Order) -> tuple[str, Order]:
        return self._targets.resolve(client, order, self._server.channel_names(client))

    # Questions

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a saved scene."""
        scene = self._scene(channel)
        return None if scene is None else topic_of(scene)

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        """The last messages of a scene, oldest first."""
        scene = self._scene(channel)
        return () if scene is None else history_of(scene, limit, self.config.nick)

    async def list_channels(self) -> Sequence[StoredChannel]:
        """The channels whose scenes are saved, the last used ones."""
        if self.config.folder is None:
            return ()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, saved_channels, self.config.folder, _MOST_LISTED)

    async def whois(self, client: Client, nick: str) -> Whois | None:
        """The model's bio in the scene where the client last spoke."""
        scene = self._scenes.find(self._place(client))
        if fold(nick) != fold(self.config.nick) or scene is None or not scene.bio:
            return None
        return Whois(lines=[f"bio: {scene.bio}"])

    # Scenes

    def _scene(self, place: str) -> Scene | None:
        """The scene of a channel or nick; None, and a notice there, if its file cannot be used."""
        return self._scenes.get(place, self._server.inform)

    async def _run(
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
            self._server, where, client, nick=self.config.nick, quiet=quiet, log=self._log
        )
        await self._runner.run(scene, events, presenter)


def _where(client: Client, place: str) -> Target:
    """Where a place is heard: in the channel, or for a private talk by the client alone."""
    return place if is_channel(place) else client
