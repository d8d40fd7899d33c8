"""The model as someone who lives on the server: in every channel, each of which is a scene.

One engine, one thread: scenes take turns. What a session yields is shown in the channel while it
happens; what people say meanwhile waits in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from relay_gguf.conversation.commands import spell
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.engine import Engine
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Kind, Past, Resident, Saved, Whois
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.protocol.names import fold
from relay_gguf.irc.server import Server
from relay_gguf.sampling import SamplingParams

from .addressing import Reply, answers_at_once, heard, names
from .channel_log import Chronicle
from .orders import Order, act, cheat_sheet, help_lines, parse_order, parse_prefixed, parse_raw
from .presenter import Showing
from .runner import Stage
from .scene import Scene, saved_channels

SERVICE: Final = "*relay"
PAUSE: Final = 8.0
"""Seconds without a word after which the model answers several people that did not name it."""
CYCLE: Final = 15.0
"""Seconds: who parts and is back so soon has asked for a fresh scene, which is what /cycle does;
clients with a queue need some of them."""


@dataclass(frozen=True, slots=True)
class House:
    """What the model's scenes have in common."""

    engine: Engine
    sampling: SamplingParams
    folder: Path | None = None  # None saves nothing
    path: str = ""  # the model's file
    exports: Path | None = None
    nick: str = NICKS["model"]
    reply: Reply = "auto"
    pause: float = PAUSE


class Model(Resident):
    """The other people of a network."""

    def __init__(self, house: House, chronicle: Chronicle | None = None) -> None:
        """Move in; the engine stays the caller's. A chronicle is told what happens."""
        self.house = house
        self._chronicle = chronicle
        self.personas = (
            Persona(house.nick, realname=f"{house.engine.name}, a language model"),
            Persona(SERVICE, realname="orders: /msg *relay help", present=False),
        )
        self._scenes: dict[str, Scene] = {}
        self._left: dict[str, tuple[Client, float]] = {}
        self._spoke: WeakKeyDictionary[Client, str] = WeakKeyDictionary()
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._stage = Stage()

    def attach(self, server: Server) -> None:
        """The server that the model speaks on."""
        self._server = server

    def motd(self) -> Sequence[str]:
        """The cheat sheet."""
        return cheat_sheet(self.house.nick)

    def close(self) -> None:
        """Stop what is being said and close the sessions; the server has stopped."""
        for timer in self._waiting.values():
            timer.cancel()
        self._stage.close()
        for scene in self._scenes.values():
            scene.session.close()

    # Who comes and goes

    async def joined(self, client: Client, channel: str) -> None:
        """The first one in a channel takes up its scene, or begins it."""
        if self._chronicle is not None:
            self._chronicle.joined(channel, client.nick, f"{client.username}@{client.host}")
        scene = self._scene(channel)
        self._spoke[client] = channel
        who, left = self._left.pop(fold(channel), (None, 0.0))
        now = asyncio.get_running_loop().time()
        alone = len(self._server.clients(channel)) < 2
        if scene is None:
            return
        if scene.is_new:
            await self._perform(scene, channel, client, scene.begin, quiet=True)
        elif alone and who is client and now - left < CYCLE:
            await self._anew(scene, channel, client)

    def leaving(self, client: Client, channel: str) -> None:
        """Where nobody is left, what is being said stops, and what waits is not said."""
        if not self._server.clients(channel):
            self._left[fold(channel)] = (client, asyncio.get_running_loop().time())
            self._cancel(client, channel)

    async def parted(self, client: Client, channel: str) -> None:
        """A channel without anybody waits for them to come back."""
        if self._chronicle is not None:
            self._chronicle.left(channel, client.nick, f"{client.username}@{client.host}")
        key, now = fold(channel), asyncio.get_running_loop().time()
        if self._left.get(key, (None, 0.0))[0] is client:
            self._left[key] = (client, now)  # the time that the model took does not count
        if not self._server.clients(channel):
            self._wait_no_more(channel)

    # What is said

    def overheard(self, client: Client, target: str, text: str) -> bool:
        """To cancel is not to wait behind what is to be cancelled."""
        service = fold(target) == SERVICE
        order = parse_order(text) if service else parse_prefixed(text)
        if order is None or order.name != "cancel":
            return False
        self._cancel(client, self._aim(client, order)[0] if service else target)
        return True

    async def messaged(
        self, client: Client, target: str, text: str, kind: Kind, lines: Sequence[str]
    ) -> None:
        """An order, an action, or something to answer."""
        if kind == "notice":
            return
        if fold(target) == SERVICE:
            self._take(client, parse_order(text) or Order("help"))
            return
        order = act(text, self.house.nick) if kind == "action" else parse_prefixed(text)
        acts = kind == "action"
        if self._chronicle is not None and target.startswith("#") and (acts or order is None):
            self._chronicle.said(target, client.nick, text, action=acts)
        self._spoke[client] = target
        place = target if target.startswith("#") else client.nick
        where, scene = _where(client, place), self._scene(place)
        if scene is None:
            return
        if scene.is_new:
            await self._perform(scene, where, client, scene.begin, quiet=True)
        if order is not None:
            await self._obey(scene, where, client, order, shown=kind == "action")
            return
        self._wait_no_more(scene.channel)
        nick, reply = self.house.nick, self.house.reply
        several = isinstance(where, str) and len(self._server.clients(where)) > 1
        said = heard(text, nick, client.nick, several=several)
        if answers_at_once(reply, several=several, named=names(text, nick)):
            submit = partial(scene.session.submit, spell(said))
            await self._perform(scene, where, client, submit, quiet=True)
            return
        await self._perform(scene, where, client, partial(scene.session.hear, said), quiet=True)
        if reply != "mention":
            self._wait(scene, where, client)

    async def typing(self, client: Client, target: str, state: str) -> None:
        """Who types is not interrupted."""
        timer = self._waiting.get(fold(target))
        if state == "active" and timer is not None:
            timer.cancel()
            scene = self._scenes[fold(target)]
            self._wait(scene, target, client)

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        """The scene's topic."""
        if self._chronicle is not None:
            self._chronicle.topic(channel, client.nick, text)
        scene = self._scene(channel)
        if scene is not None:
            set_topic = partial(scene.set_topic, text)
            await self._perform(scene, channel, client, set_topic, quiet=True)

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """An order as a raw command, about the channel or talk where the client last spoke."""
        if verb.upper() == "KICK":
            self._server.notice(client, f"{self.house.nick} stays: leave, or CYCLE.", SERVICE)
            return True
        order = parse_raw(raw)
        if order is None or not client.registered or not (order.known or self._place(client)):
            return False
        self._take(client, order)
        return True

    def _place(self, client: Client) -> str:
        """Where a client last spoke, or the channel it joined after that: a nick in private."""
        target = self._spoke.get(client, "")
        if fold(target) == fold(self.house.nick):
            return client.nick
        if fold(target) in client.channels:
            return target
        return next((channel.name for channel in reversed(client.channels.values())), "")

    def _aim(self, client: Client, order: Order) -> tuple[str, Order]:
        """Where an order is meant: where its first word says, or where the client last spoke."""
        first, _, rest = order.argument.partition(" ")
        aimed = replace(order, argument=rest.strip())
        if order.known and fold(first) in client.channels:
            return client.channels[fold(first)].name, aimed
        place = self._place(client)
        private = place == client.nick and fold(first) == fold(self.house.nick)
        return place, aimed if order.known and private else order

    def _take(self, client: Client, order: Order) -> None:
        """Do an order in its turn, but for those that cannot wait."""
        place, order = self._aim(client, order)
        if order.name == "cancel":
            self._cancel(client, place)
        elif order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif not place:
            self._server.notice(client, "Join a channel first.", SERVICE)
        else:
            job = partial(self._order, client, place, order)
            self._server.network.errands.add(_queue(client, place), job)

    async def _order(self, client: Client, place: str, order: Order) -> None:
        scene = self._scene(place)
        if scene is not None:
            await self._obey(scene, _where(client, place), client, order)

    async def _obey(
        self, scene: Scene, where: str | Client, client: Client, order: Order, shown: bool = False
    ) -> None:
        if order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif order.name == "cycle":
            await self._anew(scene, where, client)
        else:
            submit = partial(scene.session.submit, order.line)
            await self._perform(scene, where, client, submit, quiet=shown)

    async def _anew(self, scene: Scene, where: str | Client, client: Client) -> None:
        """A fresh scene in the same place, without the topic of the old one."""
        await self._perform(scene, where, client, scene.begin, quiet=True)
        if isinstance(where, str):
            self._server.set_topic(where, "", self.house.nick)
        self._server.inform(where, "The scene begins anew.")

    def _cancel(self, client: Client, place: str) -> None:
        """Stop what is said in a place, and what waits there."""
        self._server.network.errands.drop(_queue(client, place))
        scene = self._scenes.get(fold(place))
        if scene is not None:
            self._stage.cancel(scene)

    # What is asked

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a scene that was saved."""
        scene = self._scene(channel)
        if scene is None or scene.is_new or not scene.topic:
            return None
        when = next((when for when, _ in scene.past(1)), 0.0)
        return Topic(scene.topic, NICKS["input"], when)

    async def history(self, channel: str, limit: int) -> Sequence[Past]:
        """What was said in the scene."""
        scene = self._scene(channel)
        if scene is None or scene.is_new:
            return ()
        return [self._past(when, message) for when, message in scene.past(limit)]

    def _past(self, when: float, message: Message) -> Past:
        """A message of the scene as one of the channel."""
        nick = self.house.nick if message.nick == NICKS["model"] else message.nick
        if message.content.startswith("/me ") and message.nick != NICKS["model"]:
            return Past(when, nick, message.content.removeprefix("/me "), "action")
        return Past(when, nick, message.content)

    async def list_channels(self) -> Sequence[Saved]:
        """The scenes on the disk."""
        if self.house.folder is None:
            return ()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, saved_channels, self.house.folder, 100)

    async def whois(self, client: Client, nick: str) -> Whois | None:
        """The model's bio in the scene where the client last spoke, or is."""
        scene = self._scenes.get(fold(self._place(client)))
        if fold(nick) != fold(self.house.nick) or scene is None or not scene.bio:
            return None
        return Whois(lines=[f"bio: {scene.bio}"])

    # Scenes

    def _scene(self, channel: str) -> Scene | None:
        """The scene of a channel, or of a nick; None where it cannot be had, which is told."""
        key = fold(channel)
        if key not in self._scenes:
            house = self.house
            try:
                self._scenes[key] = Scene(
                    house.engine,
                    house.sampling,
                    key,
                    house.folder,
                    path=house.path,
                    exports=house.exports,
                )
            except StoreError as error:
                self._server.inform(channel, str(error))
                return None
        return self._scenes[key]

    async def _perform(
        self,
        scene: Scene,
        where: str | Client,
        client: Client,
        events: Callable[[], Iterator[Event]],
        *,
        quiet: bool,
    ) -> None:
        """Let a session do something, and show what happens while it does."""
        showing = Showing(
            self._server,
            where,
            client,
            self.house.nick,
            quiet=quiet,
            chronicle=self._chronicle,
        )
        await self._stage.play(scene, events, showing)

    # In company

    def _wait(self, scene: Scene, where: str | Client, client: Client) -> None:
        """Answer when nobody has said anything for a while."""

        def due() -> None:
            self._waiting.pop(fold(scene.channel), None)
            reply = partial(self._perform, scene, where, client, scene.session.reply, quiet=True)
            self._server.network.tell(scene.channel, reply)

        loop = asyncio.get_running_loop()
        self._waiting[fold(scene.channel)] = loop.call_later(self.house.pause, due)

    def _wait_no_more(self, channel: str) -> None:
        timer = self._waiting.pop(fold(channel), None)
        if timer is not None:
            timer.cancel()


def _where(client: Client, place: str) -> str | Client:
    """Where what is said in a place is heard: in the channel, or by the client alone."""
    return place if place.startswith("#") else client


def _queue(client: Client, place: str) -> Hashable:
    """The key of the jobs about a place, as the server queues them."""
    return fold(place) if place.startswith("#") else client
