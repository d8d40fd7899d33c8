"""A client that sends and reads lines, a server in a thread, conversations played from a text."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from relay_gguf.irc.server import Server

T = TypeVar("T")
PATIENCE = 10.0


class SilenceError(AssertionError):
    """No line has come in time."""


class Wire:
    """A socket that speaks lines."""

    def __init__(self, address: tuple[str, int], *, small: bool = False) -> None:
        self._socket = socket.socket()
        if small:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(address)
        self._buffer = b""
        self._tokens = count(1)

    def send(self, *lines: str) -> None:
        self.send_bytes(b"".join(line.encode() + b"\r\n" for line in lines))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> str:
        """The next line, without its end; '' once the connection is closed."""
        while b"\r\n" not in self._buffer:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            except TimeoutError:
                raise SilenceError(f"no line, but {self._buffer!r}") from None
            if not data:
                assert not self._buffer, self._buffer
                return ""
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\r\n")
        assert b"\r" not in raw
        assert b"\n" not in raw
        assert len(raw.partition(b" ")[2] if raw.startswith(b"@") else raw) <= 510, raw
        return raw.decode()

    def until(self, pattern: str) -> list[str]:
        """The lines up to the first in which a pattern is found."""
        lines = []
        while True:
            lines.append(self.line())
            if re.search(pattern, lines[-1]):
                return lines
            assert lines[-1], lines

    def rest(self) -> list[str]:
        """The lines up to the end of the connection."""
        lines = []
        while line := self.line():
            lines.append(line)
        return lines

    def drain(self, quiet: float) -> None:
        """Read, and check, until the end of the connection or of `quiet` seconds without a line."""
        self._socket.settimeout(quiet)
        with suppress(SilenceError):
            self.rest()
        self._socket.settimeout(PATIENCE)

    def sync(self) -> list[str]:
        """All lines that the server has sent until it answers a ping."""
        token = f"sync-{next(self._tokens)}"
        self.send(f"PING {token}")
        return self.until(rf"PONG \S+ :{token}$")[:-1]

    def ask(self, *lines: str) -> list[str]:
        """What comes for these lines."""
        self.send(*lines)
        return self.sync()

    def register(self, nick: str, caps: str = "") -> Wire:
        """Come in, with capabilities; the greeting is read."""
        if caps:
            self.send(f"CAP REQ :{caps}", "CAP END")
        self.send(f"NICK {nick}", f"USER {nick} 0 * :{nick.title()}")
        self.until(r" 376 ")
        return self

    def close(self) -> None:
        self._socket.close()


class Running:
    """A server in a thread of its own, on a free port of this machine or a given one."""

    def __init__(self, make: Callable[[], Server], port: int = 0) -> None:
        self.port = port
        self.errors: list[dict[str, Any]] = []
        self._make = make
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._end = asyncio.Event()
        self.server = self._make()
        await self.server.start(port=self.port)
        self._ready.set()
        await self._end.wait()
        await self.server.stop()

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call something in the server's loop."""

        async def run() -> T:
            return function(*args, **kwargs)

        return self.do(run())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def begin_to_stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.begin_to_stop()
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def play(wires: dict[str, Wire], script: str) -> None:
    """Play a conversation: `anon> line` is sent by anon, `anon< line` is what anon gets next.

    `{...}` is any one word and `...` at the end anything. When all is said, nobody has got more.
    """
    dismissed = set()  # their connection ends, a moment later perhaps
    for number, text in enumerate(script.strip().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        name, way, line = re.split(r"([<>]) ?", text.strip(), maxsplit=1)
        if way == ">":
            wires[name].send(line)
        else:
            got = wires[name].line()
            assert pattern(line).fullmatch(got), f"{number}: {name} wants {line!r}, gets {got!r}"
            if got.startswith("ERROR "):
                dismissed.add(name)
    for name, wire in wires.items():
        if name in dismissed or wire_closed(wire):
            left = wire.rest()
        else:
            left = wire.sync()
        assert left == [], f"{name} gets {left}"


def wire_closed(wire: Wire) -> bool:
    """Whether the other end has closed the connection."""
    wire._socket.setblocking(False)
    try:
        return wire._socket.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire._socket.settimeout(PATIENCE)


def pattern(line: str) -> re.Pattern[str]:
    """A line of a script as a pattern."""
    text = re.escape(line)
    text = re.sub(r"\\\{[^{}]*\\\}", r"\\S+", text)
    if text.endswith(r"\.\.\."):
        text = text[: -len(r"\.\.\.")] + ".*"
    return re.compile(text)


def numerics(lines: Iterable[str]) -> list[str]:
    """The verbs of lines."""
    return [re.sub(r"^(@\S+ )?(:\S+ )?", "", line).split(" ")[0] for line in lines]


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition has not become true in time"
        time.sleep(0.01)


Serve = Callable[..., Running]
"""`serve(hooks, limits=...)`: a server, as a fixture starts it."""
Dial = Callable[..., Wire]
"""`dial(running)`: a connection on which nothing was said yet."""
Connect = Callable[..., dict[str, Wire]]
"""`connect(running, "anon", "bob", caps="...")`: clients by nick."""
