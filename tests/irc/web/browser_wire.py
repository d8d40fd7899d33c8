"""A browser's end of a connection: requests for files, and WebSockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from wire import PATIENCE, Running


@dataclass(frozen=True)
class Got:
    """An answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(running: Running, request: bytes) -> bytes:
    """All that is sent for some bytes, up to the end of the connection."""
    with socket.create_connection(running.address, PATIENCE) as wire:
        wire.sendall(request)
        found = b""
        while data := wire.recv(65536):
            found += data
        return found


def get(running: Running, path: str = "/", **headers: str) -> Got:
    """The answer to a GET."""
    given = {"Host": f"127.0.0.1:{running.address[1]}", **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    head, _, body = ask(running, "\r\n".join([*lines, "", ""]).encode()).partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return Got(int(first.split(" ")[1]), dict(line.split(": ", 1) for line in rest), body)


@contextmanager
def open_socket(running: Running, *protocols: str, **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket at the server, which offers these subprotocols."""
    host, port = running.address
    offered = [Subprotocol(name) for name in protocols] or None
    address = f"ws://{host}:{port}/"
    with connect(address, subprotocols=offered, compression=None, **options) as websocket:
        yield websocket


@contextmanager
def registered(running: Running, nick: str, **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket whose user has come in."""
    with open_socket(running, "text.ircv3.net", **options) as websocket:
        websocket.send(f"NICK {nick}")
        websocket.send(f"USER {nick} 0 * :{nick}")
        until(websocket, " 376 ")
        yield websocket


def until(websocket: ClientConnection, part: str) -> list[str]:
    """The messages up to the first with a text in it."""
    found = []
    while True:
        message = websocket.recv(PATIENCE)
        found.append(message if isinstance(message, str) else message.decode())
        if part in found[-1]:
            return found
