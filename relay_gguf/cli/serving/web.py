"""`relay-gguf web`: its options beside the network's, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Final

import typer

from .network import network, with_options_of_network
from .page import open_page, opens_in_browsers, page_address

PORT: Final = 8667
"""Browsers refuse 6667, as all ports of IRC."""


def web(
    context: typer.Context,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in your browser.")
    ] = False,
    **options: Any,
) -> None:
    """Talk to the model in your browser.

    The page has the channels of `relay-gguf irc`. IRC clients connect to the same port, and web
    clients to a WebSocket there. It needs websockets: pip install 'relay-gguf[web]'.

    \b
    Examples:
      relay-gguf web --demo --open
      relay-gguf web --demo --cast "kate: a nurse from Cork" --cast "bob: a pirate"
      relay-gguf web --host 0.0.0.0 --password SECRET
    """
    from relay_gguf.errors import SettingsError

    if find_spec("websockets") is None:
        raise SettingsError(
            "`relay-gguf web` needs websockets: pip install 'relay-gguf[web]', or from a clone: "
            "pip install '.[web]'."
        )
    port = options["port"]
    if not opens_in_browsers(port):
        raise SettingsError(
            f"Browsers refuse to open port {port}, which is another service's: take another "
            f"--port, such as {PORT}."
        )

    def announce(host: str, port: int, encrypted: bool) -> None:
        address = page_address(host, port, encrypted)
        typer.echo(f"Open {address} in a browser. Ctrl-C ends the server.", err=True)
        if open_browser:
            open_page(address)

    network(context, announce, **options)


with_options_of_network(web, PORT)
