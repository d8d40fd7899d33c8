"""How many files a process may have open, of which each client takes one."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_WANTED: Final = 2048
_RESERVED: Final = 128
"""For the model, its scenes, logs, and connections that are refused."""
_LEAST: Final = 16


def client_room(wanted: int) -> int:
    """How many of `wanted` clients find a file each, once the process may open as many as allowed.

    Without such a limit, as on Windows, all of them.
    """
    try:
        import resource
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return min(wanted, max(soft - _RESERVED, _LEAST))
