"""Where a server may listen: who reaches an address of this machine."""

from __future__ import annotations

import ipaddress

from relay_gguf.errors import SettingsError


def is_local(host: str) -> bool:
    """Whether an address is reached by this machine alone; of the names, `localhost` only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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
