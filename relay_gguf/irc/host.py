"""Where a server may listen: on this machine, elsewhere only behind a password."""

from __future__ import annotations

import ipaddress

from relay_gguf.errors import SettingsError


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address; a name other than localhost may be anywhere."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(host: str, password: str) -> None:
    """See whether a server may listen there.

    Raises:
        SettingsError: others can reach it, and there is no password.
    """
    if not is_local(host) and not password:
        raise SettingsError(
            f"Others can reach {host or 'every address'}: set a password, or listen on 127.0.0.1."
        )


def shown_host(peer: object) -> str:
    """The host in `nick!user@host`, of what a socket says of its other end."""
    host = str(peer[0]).partition("%")[0] if isinstance(peer, tuple) and peer else "localhost"
    if is_local(host):
        return "localhost"
    # A parameter must not begin with a colon, as ::1 does.
    return f"0{host}" if host.startswith(":") else host
