"""Client libraries at the server: jaraco's irc, and pydle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from wire import Running, Serve

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks, ServerActions
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.user import Persona

irc_client = pytest.importorskip("irc.client")


class Echo(Hooks):
    """Says what it hears, in capitals."""

    personas = (Persona("user", "The model"),)
    server: ServerActions

    def attach(self, server: ServerActions) -> None:
        self.server = server

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        self.server.say(target if target.startswith("#") else client, text.upper())


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve(Echo())


def test_jaracos_irc_talks_to_the_server(running: Running) -> None:
    seen: list[tuple[str, list[str]]] = []
    reactor = irc_client.Reactor()
    connection = reactor.server().connect(*running.address, "anon")

    def on(event_type: str) -> Any:
        def handle(connection: Any, event: Any) -> None:
            seen.append((event_type, [*event.arguments]))
            if event_type == "welcome":
                connection.join("#c")
            elif event_type == "endofnames":
                connection.privmsg("#c", "grüße")
            elif event_type == "pubmsg":
                connection.whois(["user"])
            elif event_type == "endofwhois":
                connection.quit("bye")

        return handle

    events = "welcome motd join namreply endofnames pubmsg whoisuser endofwhois error disconnect"
    for event_type in events.split():
        connection.add_global_handler(event_type, on(event_type))
    for _ in range(200):
        reactor.process_once(0.05)
        if not connection.is_connected():
            break
    kinds = [kind for kind, _ in seen]
    assert list(dict.fromkeys(kinds)) == events.split()
    assert dict(seen)["pubmsg"] == ["GRÜSSE"]
    assert dict(seen)["namreply"] == ["=", "#c", "user @anon"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_pydle_talks_to_the_server(running: Running) -> None:
    pydle = pytest.importorskip("pydle")
    said: list[tuple[str, str, str]] = []
    whois: dict[str, Any] = {}

    class Bot(pydle.Client):  # type: ignore[misc,name-defined]
        async def on_connect(self) -> None:
            await super().on_connect()
            await self.join("#c")

        async def on_join(self, channel: str, user: str) -> None:
            await super().on_join(channel, user)
            await self.message(channel, "hello")

        async def on_message(self, target: str, source: str, message: str) -> None:
            await super().on_message(target, source, message)
            said.append((target, source, message))
            if source == "user" and target == "#c":
                whois.update(await self.whois("user"))
                await self.message("user", "in private")
            elif source == "user":
                await self.quit("bye")

    def talk() -> None:
        async def run() -> None:
            bot = Bot("anon", realname="Anon")
            host, port = running.address
            await asyncio.wait_for(bot.connect(host, port, tls=False), 10)
            for _ in range(200):
                await asyncio.sleep(0.05)
                if not bot.connected:
                    return

        asyncio.run(run())

    thread = threading.Thread(target=talk)  # pydle keeps the loop that it finds first
    thread.start()
    thread.join(20)
    assert ("#c", "user", "HELLO") in said
    assert ("anon", "user", "IN PRIVATE") in said
    assert whois["realname"] == "The model"
