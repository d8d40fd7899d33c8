"""The address of the web page, and the browser that opens it."""

from __future__ import annotations

from typing import Final

import typer

_PORTS = """
1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115
117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556
563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666
6667 6668 6669 6679 6697 10080
"""
_CLOSED: Final = frozenset(map(int, _PORTS.split()))
"""Ports that no browser connects to (Fetch standard, port blocking), those of IRC among them."""


def opens_in_browsers(port: int) -> bool:
    """Whether browsers connect to a port at all."""
    return port not in _CLOSED


def page_address(host: str, port: int, encrypted: bool) -> str:
    """Where a browser on this machine finds the page of a server that listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    shown = f"[{named}]" if ":" in named else named
    return f"{'https' if encrypted else 'http'}://{shown}:{port}/"


def open_page(address: str) -> None:
    """Open a page in the browser, or say that this is not possible; never waits for it."""
    import threading
    import webbrowser

    def open_it() -> None:
        if not webbrowser.open(address):
            typer.echo("No browser was found: open the address yourself.", err=True)

    threading.Thread(target=open_it, name="relay-browser", daemon=True).start()
