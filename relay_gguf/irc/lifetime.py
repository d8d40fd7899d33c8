"""A server that runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from .host import listening_error
from .server import Server


async def run_server(
    server: Server,
    host: str,
    port: int,
    *,
    started: Callable[[str, int], None],
    reason: str,
) -> None:
    """Listen, and stop when the process gets SIGINT or SIGTERM.

    Args:
        server: which does not listen yet.
        host: where to listen.
        port: 0 takes a free one.
        started: called with the host and port where the server listens.
        reason: why it stops, as clients are told.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    stopped = asyncio.Event()
    try:
        await server.start(host, port)
    except OSError as error:
        raise listening_error(host, port, error) from error
    _on_signals(stopped)
    started(*server.address)
    await stopped.wait()
    await server.stop(reason)


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
            continue
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
