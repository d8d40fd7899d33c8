"""One connection, from its first byte to its last: an IRC client's, or a browser's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from .network.client import Client
from .protocol.framing import Framer, is_foreign
from .web.website import MISSING, raw

if TYPE_CHECKING:
    from .web.websocket import WebSocket

_Lines = AsyncGenerator[bytes | None, None]
READ_BYTES: Final = 4096
_GET: Final = b"GET "
"""What a browser begins with."""


class Connection:
    """A client's connection; its first bytes decide whether IRC or HTTP is spoken on it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        host: str,
        orders: Callable[[], bytes],
    ) -> None:
        """Nothing was read yet.

        Args:
            reader, writer: its streams.
            host: where the server listens.
            orders: makes the list of orders for the web page, in JSON.
        """
        self._reader, self._writer = reader, writer
        self._host, self._orders = host, orders
        self._websocket: WebSocket | None = None

    async def lines(self, client: Client) -> _Lines:
        """The lines of its client, as of a `Framer`, up to the end of the connection.

        A browser that asks for the page gets it, and has no lines.
        """
        first = await self._beginning()
        if not first.startswith(_GET):
            async for line in self._socket_lines(client, first):
                yield line
            return
        client.gone = True  # a browser cannot read a word of IRC
        self._websocket = await self._knock(first)
        if self._websocket is not None:
            client.outlet, client.gone = self._websocket, False
            async for line in self._websocket.lines():
                yield line

    async def close(self, reason: str, linger: float) -> None:
        """Close it once its last lines are sent, or after `linger` seconds."""
        errors = (OSError, asyncio.TimeoutError)
        if self._websocket is not None:
            with suppress(*errors):
                await asyncio.wait_for(self._websocket.close(reason), linger)
        try:
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), linger)
        except errors:
            pass
        finally:
            self._writer.transport.abort()

    async def _beginning(self) -> bytes:
        """The first bytes: as many as tell a browser from an IRC client."""
        data = await self._reader.read(READ_BYTES)
        while data and len(data) < len(_GET) and _GET.startswith(data):
            if not (more := await self._reader.read(READ_BYTES)):
                break
            data += more
        return data

    async def _socket_lines(self, client: Client, data: bytes) -> _Lines:
        """The lines of an IRC client, which began with `data`."""
        framer = Framer()
        while data:
            for line in framer.feed(data):
                yield line
            if not client.registered and is_foreign(framer.beginning):
                client.gone = True  # without a word that a browser could read
                return
            data = await self._reader.read(READ_BYTES)

    async def _knock(self, first: bytes) -> WebSocket | None:
        """Answer a browser's request; the WebSocket that it asked for, or None at its end."""
        if find_spec("websockets") is None:
            self._writer.write(raw(MISSING))
            return None
        from .web.knock import answered

        return await answered(
            first, self._reader, self._writer, host=self._host, orders=self._orders
        )
