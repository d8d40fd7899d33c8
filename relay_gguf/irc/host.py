"""Whether a server can listen, and which host of a client the others see."""

from __future__ import annotations

import errno
import os
import re
import socket

from relay_gguf.errors import SettingsError
from relay_gguf.machine.listen_address import is_local


def check_port(host: str, port: int) -> None:
    """Bind the port for a moment: to know that it is free before a model is loaded for minutes.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # as asyncio does: a port that was just used is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise listening_error(host, port, error) from error


def check_server_name(name: str) -> None:
    """Allow a server's name that no nick and no mask can be taken for.

    Raises:
        SettingsError: it is none.
    """
    if len(name) > 63 or not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name):
        raise SettingsError(
            f"--server-name is {name!r}; it may be like irc.example.org: letters, digits and -, "
            "with a dot in it, up to 63 characters."
        )


def listening_error(host: str, port: int, error: OSError) -> SettingsError:
    """An `OSError` of listening as an error for the user."""
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    hint = " --port takes another one." if error.errno == errno.EADDRINUSE else ""
    return SettingsError(f"Cannot listen on {host}, port {port}: {why}.{hint}")


def shown_host(peer: object) -> str:
    """The host in `nick!user@host`.

    Args:
        peer: the address of a connection's other end, as `socket.getpeername` returns it.
    """
    host = str(peer[0]).partition("%")[0] if isinstance(peer, tuple) and peer else "localhost"
    if is_local(host):
        return "localhost"
    # A parameter must not begin with a colon, as ::1 does.
    return f"0{host}" if host.startswith(":") else host
