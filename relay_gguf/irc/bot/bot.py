"""The bot of a network: it is in every channel, and each channel is a scene of its own.

It takes what happens on the network to the stage, where scenes are played and shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from relay_gguf.errors import CommandError
from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import (
    Hooks,
    MenuEntry,
    ServerActions,
    StoredChannel,
    StoredMessage,
    Target,
    Whois,
)
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.protocol.names import fold, is_channel

from .bot_config import BotConfig
from .cast.cast_list import CastList
from .cast.castings import Castings
from .channel_log import ChannelLog
from .departures import Departures
from .open_scenes import history_of, topic_of
from .order_target import OrderTargets, where_heard
from .orders import (
    Order,
    act,
    cheat_sheet,
    help_lines,
    menu,
    parse_order,
    parse_prefixed,
    parse_raw,
)
from .playback import Playback
from .scene import Scene, saved_channels
from .secret_channels import SecretChannels
from .stage import Stage

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
        self._people = CastList(config.folder, config.nick, config.cast)
        self._log = log or ChannelLog(None, "irssi")
        self._playback = Playback(config.folder)
        self.secret = SecretChannels(config.folder)
        self._stage = Stage(config, self._log, self._people.at)
        self._targets = OrderTargets(config.nick, lambda nick: bool(self._people.find(nick)))
        self._castings = Castings(self._people, self._stage, config.engine.name)
        self.personas = (
            *map(self._castings.persona, self._people.everybody),
            Persona(SERVICE, realname="orders: /msg *relay help", present=False),
        )
        self._departures = Departures(config.rejoin, clock)

    def attach(self, server: ServerActions) -> None:
        """Keep the server, to speak on it."""
        self._server = server
        self._stage.attach(server)
        self._castings.attach(server)

    def motd(self) -> Sequence[str]:
        """The list of orders, and how a client sends them."""
        return cheat_sheet(*self._people.nicks(""))

    def menu(self) -> Sequence[MenuEntry]:
        """The orders."""
        return menu()

    def present(self, channel: str) -> Sequence[str]:
        """The nicks of the people whom the model plays in a channel."""
        return self._people.nicks(channel)

    def close(self) -> None:
        """Stop a reply in flight and close the sessions, once the server has stopped."""
        self._stage.close()

    # Joining and leaving

    async def joined(self, client: Client, channel: str) -> None:
        """Begin the scene of a channel; begin it anew for a client that left just now (/cycle)."""
        self._log.joined(channel, client.nick, f"{client.username}@{client.host}")
        scene = self._stage.scene(channel)
        self._targets.note(client, channel)
        alone = len(self._server.clients(channel)) < 2
        is_back = alone and self._departures.is_back(client, channel)
        self._departures.forget(channel)
        if scene is None:
            return
        self._people.settle(channel)
        if scene.is_new:
            await self._stage.begin(scene, channel, client)
        elif is_back:
            await self._begin_anew(scene, channel, client)

    def leaving(self, client: Client, channel: str) -> None:
        """If the channel is empty now, stop the reply in flight and drop the messages that wait."""
        if not self._server.clients(channel):
            self._departures.note(client, channel)
            self._stage.cancel(client, channel)

    async def invited(self, client: Client, nick: str, channel: str) -> None:
        """Let one of the people come into a channel."""
        if (scene := self._stage.scene(channel)) is not None:
            await self._stage.begin(scene, channel, client)
            with self._telling(client):
                await self._castings.invite(scene, channel, client, nick)

    async def parted(self, client: Client, channel: str) -> None:
        """If the channel is empty now, stop waiting for a pause in it."""
        self._log.left(channel, client.nick, f"{client.username}@{client.host}")
        self._departures.delay(client, channel)  # time on the engine does not count
        if not self._server.clients(channel):
            self._stage.empty(channel)

    # Messages

    def overheard(self, client: Client, target: str, text: str) -> bool:
        """Do a cancel order at once: in its turn it would come after the reply that it cancels."""
        service = fold(target) == SERVICE
        order = parse_order(text) if service else parse_prefixed(text)
        if order is None or order.name != "cancel":
            return False
        place = target if is_channel(target) else self._targets.private(client, target)
        self._stage.cancel(client, self._resolve(client, order)[0] if service else place)
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
        place = target if is_channel(target) else self._targets.private(client, target)
        order = act(text, *self._people.nicks(place)) if acts else parse_prefixed(text)
        if is_channel(target) and (acts or order is None):
            self._log.said(target, client.nick, text, action=acts)
        self._targets.note(client, target)
        where, scene = where_heard(client, place), self._stage.scene(place)
        if scene is None:
            return
        await self._stage.begin(scene, where, client)
        if order is not None:
            await self._do(scene, where, client, order, quiet=acts)
            return
        await self._stage.hear(scene, where, client, text)

    async def typing(self, client: Client, target: str, state: str) -> None:
        """Somebody who types is not interrupted; a made-up command that follows is meant here."""
        if state == "active":
            self._targets.note(client, target)
            self._stage.typing(target)

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        """Set the topic of the scene."""
        self._log.topic(channel, client.nick, text)
        if (scene := self._stage.scene(channel)) is not None:
            set_topic = partial(scene.set_topic, text)
            await self._stage.run(scene, channel, client, set_topic, quiet=True)

    # Orders

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """Do the order that a raw command is; a made-up command is for the model."""
        if verb.upper() == "KICK":
            channel, nick, *reason = params
            if not self._castings.kick(channel, client, nick, " ".join(reason)):
                self._server.notice(client, f"{nick} stays: leave, or CYCLE.", SERVICE)
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
            self._stage.cancel(client, place)
        elif order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif not place:
            self._server.notice(client, "Join a channel first.", SERVICE)
        else:
            self._stage.interrupt(place)
            self._server.enqueue(
                where_heard(client, place), partial(self._do_in_place, client, place, order)
            )

    async def _do_in_place(self, client: Client, place: str, order: Order) -> None:
        scene = self._stage.scene(place)
        if scene is not None:
            scene.seat(self._people.at(place))
            await self._do(scene, where_heard(client, place), client, order)

    async def _do(
        self, scene: Scene, where: Target, client: Client, order: Order, *, quiet: bool = False
    ) -> None:
        """Do an order; `quiet` if the channel has seen it already, as an action."""
        if order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif order.name == "cycle":
            await self._begin_anew(scene, where, client)
        elif order.name == "cast" and order.argument:
            with self._telling(client):
                await self._castings.cast(scene, where, client, order.argument)
        elif order.name == "slap":
            slap = partial(scene.slap, self._people.nick_in_scenes(order.argument))
            await self._stage.run(scene, where, client, slap, quiet=quiet)
        else:
            line = order.line
            if order.name == "lazy" and len(scene.people) > 1:
                line = f"/lazy {client.nick}: {order.argument}"
            submit = partial(scene.session.submit, line)
            await self._stage.run(scene, where, client, submit, quiet=quiet)

    async def _begin_anew(self, scene: Scene, where: Target, client: Client) -> None:
        """Begin a scene anew in the same place, without its topic."""
        if isinstance(where, str):
            self._playback.begin_anew(where)
        await self._stage.begin_anew(scene, where, client)

    def _place(self, client: Client) -> str:
        return self._targets.last(client, self._server.channel_names(client))

    def _resolve(self, client: Client, order: Order) -> tuple[str, Order]:
        return self._targets.resolve(client, order, self._server.channel_names(client))

    # Questions

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a saved scene."""
        return topic_of(self._stage.scene(channel))

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        """The last messages of a channel, oldest first; of an older scene what the model read."""
        here = self._server.clients(channel)
        if len(here) == 1 and self._departures.is_back(here[0], channel):
            return ()  # the scene is about to begin anew
        return self._playback.last(
            channel, limit, lambda n: history_of(self._stage.scene(channel), n, self.config.nick)
        )

    async def replay(self, client: Client, channel: str, limit: int) -> Sequence[StoredMessage]:
        """The history; nothing for a client whose join begins the scene anew."""
        anew = not self._server.clients(channel) and self._departures.is_back(client, channel)
        return () if anew else await self.history(channel, limit)

    def spoken(self, channel: str, message: StoredMessage) -> None:
        """Keep a message of a channel for its history; what a human says goes before chatter."""
        if message.kind != "notice" and self._people.find(message.nick) is None:
            self._stage.interrupt(channel)
        self._playback.add(channel, message)

    async def list_channels(self) -> Sequence[StoredChannel]:
        """The channels whose scenes are saved, the last used ones, but for secret ones."""
        if self.config.folder is None:
            return ()
        found = await asyncio.to_thread(saved_channels, self.config.folder, _MOST_LISTED)
        return [channel for channel in found if channel.name not in self.secret]

    async def whois(self, client: Client, nick: str) -> Whois | None:
        """The bio of one of the people; of the model by itself in the scene of the last word."""
        person = self._people.find(nick)
        if person is None:
            return None
        place = self._place(client)
        bio = self._castings.bio(person, self._stage.scene(place) if place else None)
        return Whois(lines=[f"bio: {bio}"]) if bio else None

    # People

    @contextmanager
    def _telling(self, client: Client) -> Iterator[None]:
        """Tell a client why something could not be done."""
        try:
            yield
        except CommandError as error:
            self._server.notice(client, str(error), SERVICE)
