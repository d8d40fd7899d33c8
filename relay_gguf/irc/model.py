"""The model as someone who lives on the server: in every channel, each of which is a scene.

One engine, one thread: scenes take turns. What a session yields is shown in the channel while it
happens; what people say meanwhile waits in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from relay_gguf.commands import spell
from relay_gguf.engine import Engine
from relay_gguf.errors import StoreError
from relay_gguf.events import Event
from relay_gguf.messages import NICKS, Message
from relay_gguf.sampling import SamplingParams

from .channel import Topic
from .chronicle import Chronicle
from .client import Client
from .listening import Reply, answers_at_once, heard, names
from .names import fold
from .orders import Order, act, cheat_sheet, help_lines, parse_order, parse_prefixed, parse_raw
from .resident import Kind, Past, Resident, Saved, Whois
from .scene import Scene, saved_channels
from .server import Server
from .showing import Showing
from .stage import Stage
from .user import Persona

SERVICE: Final = "*relay"
PAUSE: Final = 8.0
"""Seconds without a word after which the model answers several people that did not name it."""
CYCLE: Final = 3.0
"""Seconds: who is back so soon has asked for a fresh scene (/cycle parts and joins)."""


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
        self._last = ""  # the scene that somebody spoke in last
        self._left: dict[str, float] = {}
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
        scene = await self._scene(channel)
        left = self._left.pop(fold(channel), None)
        now = asyncio.get_running_loop().time()
        alone = len(self._server.clients(channel)) < 2
        if scene is not None and (scene.is_new or (alone and left and now - left < CYCLE)):
            await self._perform(scene, channel, client, scene.begin, quiet=True)

    def leaving(self, client: Client, channel: str) -> None:
        """Nobody is left to hear what is being said."""
        scene = self._scenes.get(fold(channel))
        if scene is not None and not self._server.clients(channel):
            self._stage.cancel(scene)

    async def parted(self, client: Client, channel: str) -> None:
        """A channel without anybody waits for them to come back."""
        if self._chronicle is not None:
            self._chronicle.left(channel, client.nick, f"{client.username}@{client.host}")
        if not self._server.clients(channel):
            self._left[fold(channel)] = asyncio.get_running_loop().time()
            self._wait_no_more(channel)

    # What is said

    async def messaged(
        self, client: Client, target: str, text: str, kind: Kind, lines: Sequence[str]
    ) -> None:
        """An order, an action, or something to answer."""
        if kind == "notice":
            return
        if fold(target) == SERVICE:
            await self._serve(client, text)
            return
        if self._chronicle is not None and target.startswith("#"):
            self._chronicle.said(target, client.nick, text, action=kind == "action")
        scene = await self._scene(target if target.startswith("#") else client.nick)
        if scene is None:
            return
        where = target if target.startswith("#") else client
        if scene.is_new:
            await self._perform(scene, where, client, scene.begin, quiet=True)
        order = act(text, self.house.nick) if kind == "action" else parse_prefixed(text)
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
        scene = await self._scene(channel)
        if scene is not None and text:
            submit = partial(scene.session.submit, f"/topic {text}")
            await self._perform(scene, channel, client, submit, quiet=True)

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        """An order as a raw command, about the channel where the client last spoke."""
        order = parse_raw(raw)
        if order is None or not client.registered:
            return False
        if order.name == "cancel":
            self._stage.cancel()
            return True
        target = client.target
        if target.startswith("#") and fold(target) in client.channels:
            job = partial(self._order, client, target, order)
            return self._server.network.tell(target, job)
        if order.known:
            await self._serve(client, f"{order.name} {order.argument}")
        return order.known

    async def _order(self, client: Client, channel: str, order: Order) -> None:
        scene = await self._scene(channel)
        if scene is not None:
            await self._obey(scene, channel, client, order)

    async def _serve(self, client: Client, text: str) -> None:
        """A message to the service: an order about the channel where the client last spoke."""
        order = parse_order(text)
        channel = next((name for name in [client.target] if name.startswith("#")), "")
        if not channel and client.channels:
            channel = next(reversed(client.channels.values())).name
        if order is None or order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif order.name == "cancel":
            self._stage.cancel()
        elif not channel:
            self._server.notice(client, "Join a channel first.", SERVICE)
        else:
            self._server.network.tell(channel, partial(self._order, client, channel, order))

    async def _obey(
        self, scene: Scene, where: str | Client, client: Client, order: Order, shown: bool = False
    ) -> None:
        if order.name == "cancel":
            self._stage.cancel()
        elif order.name == "help":
            self._server.notice(client, "\n".join(help_lines()), SERVICE)
        elif order.name == "cycle":
            await self._perform(scene, where, client, scene.begin, quiet=True)
            self._server.inform(where, "The scene begins anew.")
        else:
            submit = partial(scene.session.submit, order.line)
            await self._perform(scene, where, client, submit, quiet=shown)

    # What is asked

    async def topic(self, channel: str) -> Topic | None:
        """The topic of a scene that was saved."""
        scene = await self._scene(channel)
        if scene is None or scene.is_new or not scene.topic:
            return None
        when = next((when for when, _ in scene.past(1)), 0.0)
        return Topic(scene.topic, self.house.nick, when)

    async def history(self, channel: str, limit: int) -> Sequence[Past]:
        """What was said in the scene."""
        scene = await self._scene(channel)
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

    async def whois(self, nick: str) -> Whois | None:
        """The model's bio in the scene where somebody last spoke."""
        scene = self._scenes.get(self._last)
        if fold(nick) != fold(self.house.nick) or scene is None or not scene.bio:
            return None
        return Whois(lines=[f"bio: {scene.bio}"])

    # Scenes

    async def _scene(self, channel: str) -> Scene | None:
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
        self._last = fold(scene.channel)
        showing = Showing(
            self._server,
            where,
            client,
            self.house.nick,
            quiet=quiet,
            chronicle=self._chronicle,
        )
        await self._stage.play(scene, events, showing)
        scene.keep()

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
