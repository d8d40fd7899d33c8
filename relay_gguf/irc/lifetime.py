"""A server that runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .host import listening_error
from .server import Server

_log = logging.getLogger(__name__)
_QUIET: Final = 60.0
"""Seconds between two lines about the same trouble."""


async def run_server(
    server: Server,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    started: Callable[[str, int], None],
    reason: str,
) -> None:
    """Listen, and stop when the process gets SIGINT or SIGTERM.

    Args:
        server: which does not listen yet.
        host: where to listen.
        port: 0 takes a free one.
        tls: the certificate; None for connections that are not encrypted.
        started: called with the host and port where the server listens.
        reason: why it stops, as clients are told.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(_Complaints().take)
    try:
        await server.start(host, port, tls)
    except OSError as error:
        raise listening_error(host, port, error) from error
    _on_signals(stopped)
    started(*server.address)
    await stopped.wait()
    await server.stop(reason)


class _Complaints:
    """What asyncio complains about, once a minute instead of many times a second."""

    def __init__(self) -> None:
        self._last = -_QUIET

    def take(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log that there are no files for new connections; leave all else to asyncio."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
            loop.default_exception_handler(context)
        elif loop.time() - self._last >= _QUIET:
            self._last = loop.time()
            _log.warning("no connection can be taken now: %s; ulimit -n", error.strerror)


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
            continue
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
