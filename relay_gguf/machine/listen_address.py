"""Where a server may listen: who reaches an address of this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from relay_gguf.errors import SettingsError


def is_local(host: str) -> bool:
    """Whether an address is reached by this machine alone; of the names, `localhost` only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def foreign(listens: str, host: str | None, origin: str | None) -> str:
    """Why an HTTP request is for another server, or of another's page; '' if it is ours.

    A page of another site could otherwise speak to a server on this machine, by the browser of
    whoever reads it; with a name that is made to mean 127.0.0.1 (DNS rebinding) even as if it were
    our own.

    Args:
        listens: the address where the server listens.
        host: the header `Host`; None if there is none.
        origin: the header `Origin`, which browsers send; None if there is none.
    """
    # Where others reach us we do not know our names; but then there is a password.
    if is_local(listens) and not is_local(named := _host_name(host or "")):
        return f"This server is not {named[:80]!r}."
    try:
        same = origin is None or urlsplit(origin).netloc == host
    except ValueError:
        same = False
    return "" if same else f"Pages of {(origin or '')[:80]!r} may not use this server."


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def check_reach(host: str, secret: str, option: str) -> None:
    """Allow an address that other machines reach only together with a secret.

    Args:
        host: the address, or a name.
        secret: what clients must know; empty for nothing.
        option: sets it: `--password`.

    Raises:
        SettingsError: other machines reach it, and there is no secret.
    """
    if not is_local(host) and not secret:
        what = option.rpartition("-")[2]
        raise SettingsError(
            f"Others can reach {host or 'every address'}: set a {what} with {option}, or listen on "
            "127.0.0.1."
        )
