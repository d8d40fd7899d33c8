"""The server: a socket, the clients at it, and what the resident may do there."""

from __future__ import annotations

import asyncio
import logging
import time
from types import TracebackType

from .commands.table import obey
from .host import shown_host
from .network.client import Client, Goodbye
from .network.hooks import Resident
from .network.limits import Limits
from .network.network import Network
from .network.speaker import Voice
from .protocol.framing import (
    EmptyLineError,
    Inbox,
    NotTextError,
    TooLongError,
    is_foreign,
    read,
    without_tags,
)
from .protocol.line import Line
from .protocol.numerics import ERR_INPUTTOOLONG, ERR_UNKNOWNERROR

_log = logging.getLogger(__name__)
_READ_BYTES = 4096


class Server(Voice):
    """An IRC server, from `start` to `stop`, or as long as a `with` lasts.

    There is a task for each connection, which sleeps until a line comes, and one for the timeouts
    of all: idle clients cost nothing.
    """

    def __init__(
        self,
        resident: Resident | None = None,
        *,
        password: str = "",
        name: str = "relay.localhost",
        limits: Limits | None = None,
    ) -> None:
        """A server that does not listen yet.

        Args:
            resident: who lives there; None is nobody.
            password: that clients have to send with PASS; without one, all may come in.
            name: of the server, in its replies.
            limits: on what clients may take.
        """
        self.limits = limits or Limits()
        super().__init__(Network(resident or Resident(), self.limits, name, password))
        self._server: asyncio.Server | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: dict[Client, asyncio.Task[None] | None] = {}

    # Life

    async def start(self, host: str = "127.0.0.1", port: int = 6667) -> None:
        """Listen; port 0 takes a free one. `address.check_address` says what is wise.

        Raises:
            OSError: the address cannot be had.
        """
        self._server = await asyncio.start_server(
            self._serve, host, port, limit=2 * _READ_BYTES, backlog=self.limits.clients
        )
        self.network.resident.attach(self)
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, reason: str = "Server is going down") -> None:
        """Tell all clients why, close what is open, and wait until it is closed."""
        if self._server is None or self._keeper is None:
            return
        self._server.close()
        self._keeper.cancel()
        tasks = [self._keeper, *filter(None, self._tasks.values())]
        for client in list(self.network.clients):
            self.drop(client, reason)
        await asyncio.wait(tasks)
        await self.network.errands.close()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Server:
        """Listen on a free port of this machine, unless it listens already."""
        if self._server is None:
            await self.start(port=0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where it listens.

        Raises:
            RuntimeError: it does not.
        """
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the server does not listen")
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    # Clients

    def drop(self, client: Client, reason: str) -> None:
        """End a client's connection and tell it and the others why; twice is once."""
        if client not in self.network.clients:
            return
        self.network.remove(client, reason)
        client.farewell(reason)
        task = self._tasks.get(client)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        host = shown_host(writer.get_extra_info("peername"))
        client = Client(writer, host, self.network.name, self.limits, self._overflowed)
        self.network.clients.add(client)
        self._tasks[client] = asyncio.current_task()
        reason = "Connection closed"
        try:
            if len(self.network.clients) > self.limits.clients:
                raise Goodbye("The server is full")
            await self._listen(client, reader)
        except Goodbye as goodbye:
            reason = str(goodbye)
        except OSError:
            reason = "Connection lost"
        except asyncio.CancelledError:
            reason = "Server is going down"  # or dropped already, with a reason of its own
        except Exception:
            _log.exception("a connection failed")
            reason = "Server error"
        self.drop(client, reason)
        await self._close(writer)
        del self._tasks[client]

    async def _listen(self, client: Client, reader: asyncio.StreamReader) -> None:
        """Obey line after line; a client that is too fast is not read from until it may go on."""
        inbox = Inbox()
        while not client.gone and (data := await reader.read(_READ_BYTES)):
            for raw in inbox.feed(data):
                if wait := client.bucket.take():
                    await asyncio.sleep(wait)
                client.heard, client.asked = time.monotonic(), False
                await self._obey(client, raw)
                if client.gone:
                    return
            if not client.registered and is_foreign(inbox.beginning):
                client.gone = True

    async def _obey(self, client: Client, raw: bytes | None) -> None:
        """Do what a line says; nothing that it says harms anyone else."""
        if raw is not None and not client.registered and is_foreign(raw):
            client.gone = True  # without a word that a browser could read
            return
        try:
            if raw is None:
                raise TooLongError
            line = read(raw)
            await obey(self.network, client, line, without_tags(raw))
        except TooLongError:
            client.error(ERR_INPUTTOOLONG)
        except NotTextError as broken:
            client.fail(broken.verb, "INVALID_UTF8", "The message is not UTF-8 and was not sent")
        except EmptyLineError:
            pass
        except Goodbye:
            raise
        except Exception:
            _log.exception("a command failed: %r", raw)
            client.error(ERR_UNKNOWNERROR, "*")

    def _overflowed(self, client: Client) -> None:
        # Not now: others are being sent something, and this ends with telling them.
        asyncio.get_running_loop().call_soon(self.drop, client, "SendQ exceeded")

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Let the last words out, for as long as that may take."""
        try:
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), self.limits.linger)
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.transport.abort()

    async def _keep(self) -> None:
        """Ask the silent whether they are there, and drop who does not answer or come in."""
        while True:
            await asyncio.sleep(self.limits.check)
            now = time.monotonic()
            for client in list(self.network.clients):
                silent = now - client.heard
                if not client.registered:
                    if now - client.spoke > self.limits.register:
                        self.drop(client, "Registration timeout")
                elif client.asked and silent > self.limits.silence + self.limits.pong:
                    self.drop(client, f"Ping timeout: {int(silent)} seconds")
                elif not client.asked and silent > self.limits.silence:
                    client.asked = True
                    client.send(Line("PING", (self.network.name,)))
