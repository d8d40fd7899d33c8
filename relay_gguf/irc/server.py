"""The server: a socket, the connections at it, their timeouts. Browsers come to the same socket."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from contextlib import aclosing
from dataclasses import asdict
from types import TracebackType

from .commands.table import dispatch
from .connection import READ_BYTES, Connection
from .host import shown_host
from .network.client import Client, Disconnect
from .network.hooks import Hooks
from .network.host_limits import longest_waiting
from .network.jobs import attempt
from .network.limits import Limits
from .network.network import Network, OperatorLogin
from .network.speaker import Speaker
from .protocol.framing import (
    EmptyLineError,
    NotTextError,
    TooLongError,
    is_foreign,
    read,
    without_tags,
)
from .protocol.line import Line
from .protocol.numerics import ERR_INPUTTOOLONG, ERR_UNKNOWNERROR

_log = logging.getLogger(__name__)
_FULL = "The server is full"
_BACKLOG = 64
"""Connections that are taken at once; without a file for them, asyncio tries as often a second."""


class Server(Speaker):
    """An IRC server, from `start` to `stop`, or as long as a `with` lasts.

    Each connection has a task, which sleeps until a line comes, and one more task watches all
    timeouts: idle clients cost nothing. Hooks act on the server as a `Speaker`.
    """

    def __init__(
        self,
        hooks: Hooks | None = None,
        *,
        password: str = "",
        name: str = "relay.localhost",
        operator: OperatorLogin | None = None,
        limits: Limits | None = None,
    ) -> None:
        """A server that does not listen yet.

        Args:
            hooks: called for events and questions; None for a server without a bot.
            password: that clients have to send with PASS; '' lets everyone in.
            name: of the server, in its replies.
            operator: what OPER must give; None for a server without operators.
            limits: on clients.
        """
        self.limits = limits or Limits()
        network = Network(
            hooks or Hooks(), self.limits, name, password, operator=operator, end=self.disconnect
        )
        super().__init__(network)
        self._server: asyncio.Server | None = None
        self._timeouts: asyncio.Task[None] | None = None
        self._host = "127.0.0.1"
        self._tasks: dict[Client, asyncio.Task[None] | None] = {}

    # Start and stop

    async def start(
        self, host: str = "127.0.0.1", port: int = 6667, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen; port 0 takes a free one. See `host.check_address` before.

        Args:
            host: an address or name of this machine.
            port: where clients connect.
            tls: the certificate; None for connections that are not encrypted.

        Raises:
            OSError: the port is taken, or the address is not this machine's.
        """
        self._host = host
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=tls, limit=2 * READ_BYTES, backlog=_BACKLOG
        )
        self.network.hooks.attach(self)
        self._timeouts = asyncio.get_running_loop().create_task(self._watch_timeouts())

    async def stop(self, reason: str = "Server is going down") -> None:
        """Send all clients the reason, and wait until every connection and job has ended."""
        if self._server is None or self._timeouts is None:
            return
        self._server.close()
        self._timeouts.cancel()
        tasks = [self._timeouts, *filter(None, self._tasks.values())]
        for client in list(self.network.clients):
            self.disconnect(client, reason)
        await asyncio.wait(tasks)
        await self.network.jobs.close()
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
            RuntimeError: it was not started, or has stopped.
        """
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the server does not listen")
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    # Connections

    def disconnect(self, client: Client, reason: str) -> None:
        """End a connection, and tell its client and the others why; a second call does nothing."""
        if client not in self.network.clients:
            return
        self.network.remove(client, reason)
        client.send_closing(reason)
        task = self._tasks.get(client)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        host = shown_host(writer.get_extra_info("peername"))
        connection = Connection(reader, writer, host=self._host, orders=self._orders)
        client = Client(writer, host, self.network.name, self.limits, self._overflowed)
        self.network.clients.add(client)
        self._tasks[client] = asyncio.current_task()
        reason = "Connection closed"
        try:
            self._make_room(client)
            await self._read_lines(client, connection)
        except Disconnect as ending:
            reason = str(ending)
        except OSError:
            reason = "Connection lost"
        except asyncio.CancelledError:
            reason = "Server is going down"  # or disconnected already, with its own reason
        except Exception:
            _log.exception("a connection failed")
            reason = "Server error"
        self.disconnect(client, reason)
        await connection.close(reason, self.limits.linger)
        del self._tasks[client]

    def _orders(self) -> bytes:
        """The orders that the web page offers, in JSON."""
        entries = attempt(self.network.hooks.menu) or ()
        return json.dumps([asdict(entry) for entry in entries]).encode()

    def _make_room(self, newest: Client) -> None:
        """End connections that wait to register, the longest first, if there are too many of all.

        Raises:
            Disconnect: of those that have registered there are too many already.
        """
        clients, limits = self.network.clients, self.limits
        most = min(limits.unregistered, max(limits.clients // 2, 8))
        waiting = longest_waiting(clients, newest)
        while problem := self._crowded(newest):
            near = [c for c in waiting if problem == _FULL or c.host == newest.host]
            if not near:
                raise Disconnect(problem)
            waiting.remove(near[0])
            self.disconnect(near[0], "Too many connections wait to register")
        for client in waiting[: max(len(waiting) + 1 - most, 0)]:
            self.disconnect(client, "Too many connections wait to register")

    def _crowded(self, newest: Client) -> str:
        """Why there is no room for the newest connection; '' if there is."""
        clients = self.network.clients
        if len(clients) > self.limits.clients:
            return _FULL
        has_room = self.network.host_limits.has_room(newest.host, clients)
        return "" if has_room else "Too many connections from your host"

    async def _read_lines(self, client: Client, connection: Connection) -> None:
        """Dispatch line after line; a client over its rate is not read from until it may go on."""
        async with aclosing(connection.lines(client)) as lines:
            async for raw in lines:
                if wait := client.bucket.take():
                    await asyncio.sleep(wait)
                client.heard, client.asked = time.monotonic(), False
                await self._dispatch(client, raw)
                if client.gone:
                    return

    async def _dispatch(self, client: Client, raw: bytes | None) -> None:
        """Read and dispatch a line; whatever goes wrong with it harms no other client."""
        if raw is not None and not client.registered and is_foreign(raw):
            client.gone = True  # without a word that a browser could read
            return
        try:
            if raw is None:
                raise TooLongError
            line = read(raw)
            label = line.tags.get("label", "")
            with client.answering(label, self.network.new_id() if label else ""):
                await dispatch(self.network, client, line, without_tags(raw))
        except TooLongError:
            client.error(ERR_INPUTTOOLONG)
        except NotTextError as broken:
            client.fail(broken.verb, "INVALID_UTF8", "The message is not UTF-8 and was not sent")
        except EmptyLineError:
            pass
        except Disconnect:
            raise
        except Exception:
            _log.exception("a command failed: %r", raw)
            client.error(ERR_UNKNOWNERROR, "*")

    def _overflowed(self, client: Client) -> None:
        # Not now: a line is being sent to several clients, and a QUIT is sent to them too.
        asyncio.get_running_loop().call_soon(self.disconnect, client, "SendQ exceeded")

    def check_timeouts(self, now: float) -> None:
        """Send PING to silent clients; disconnect those without an answer or a registration.

        Args:
            now: in monotonic seconds.
        """
        for client in list(self.network.clients):
            silent = now - client.heard
            if not client.registered:
                if now - client.spoke > self.limits.register:
                    self.disconnect(client, "Registration timeout")
            elif client.asked and silent > self.limits.silence + self.limits.pong:
                self.disconnect(client, f"Ping timeout: {int(silent)} seconds")
            elif not client.asked and silent > self.limits.silence:
                client.asked = True
                client.send(Line("PING", (self.network.name,)))

    async def _watch_timeouts(self) -> None:
        while True:
            await asyncio.sleep(self.limits.check)
            self.check_timeouts(time.monotonic())
