"""Hooks that record how they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks, ServerActions, StoredChannel, StoredMessage, Whois
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.user import Persona


class RecordingHooks(Hooks):
    """Answers everything; records the calls in `told`, holds them up while `gate` is closed."""

    personas = (
        Persona("user", "The model"),
        Persona("*relay", "Commands", present=False),
    )

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def attach(self, server: ServerActions) -> None:
        self.server = server

    def motd(self) -> Sequence[str]:
        return ["/retry  Another reply", "x" * 500]

    async def joined(self, client: Client, channel: str) -> None:
        self.told.append(("joined", client.nick, channel))

    async def parted(self, client: Client, channel: str) -> None:
        self.told.append(("parted", client.nick, channel))

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        await self.gate.wait()
        self.told.append((kind, client.nick, target, text))
        assert text != "raise", "as expected"

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        self.told.append(("topic", client.nick, channel, text))

    async def typing(self, client: Client, target: str, state: str) -> None:
        self.told.append(("typing", client.nick, target, state))

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        self.told.append((verb, tuple(params), raw))
        if verb == "SLOW":
            await self.gate.wait()
        if verb == "CANCEL":
            self.gate.set()
        return verb != "NO"

    async def topic(self, channel: str) -> Topic | None:
        return Topic("Sardines", "user", 1e9) if channel == "#saved" else None

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        past = [
            StoredMessage(1e9 + n, "anon" if n % 2 else "user", f"line {n}", msgid=f"id{n}")
            for n in range(5)
        ]
        past.append(StoredMessage(1e9 + 9, "system", "waves\nand smiles", "action"))
        return past[-limit:] if channel == "#saved" else ()

    async def list_channels(self) -> Sequence[StoredChannel]:
        return [StoredChannel("#saved", "Sardines", 7), StoredChannel("#open", "not now", 3)]

    async def whois(self, client: Client, nick: str) -> Whois | None:
        return Whois(["I sell sardines", "y" * 600], "A pirate", 5) if nick == "user" else None
