"""A server on a port, until a signal ends it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn

from relay_gguf.errors import SettingsError

PATIENCE: Final = 5
"""Seconds that clients have to take what is left for them, after the first signal."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens, before a model is loaded for minutes.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}. Take another "
            "--port; 0 is a free one."
        ) from error


def run_app(app: Any, listener: socket.socket, stop: Callable[[], None]) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM; then `stop` ends what it is doing."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=PATIENCE,
    )
    _Server(config, stop).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends at a signal, and does not raise it again: the model is to be freed first."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
