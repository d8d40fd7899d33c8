"""`relay-gguf irc`: its options beside the network's, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any

import typer

from .serving.network import network, with_options_of_network
from .serving.page import opens_in_browsers, page_address


def irc(
    context: typer.Context,
    aliases: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT", help="Print aliases for the orders, for irssi or weechat, and exit."
        ),
    ] = None,
    **options: Any,
) -> None:
    """Run an IRC server with the model in every channel.

    Connect with any IRC client. Each channel is a conversation of its own, and is saved. The
    message of the day lists the orders that the bot takes, such as retry.

    \b
    Examples:
      relay-gguf irc --demo
      relay-gguf irc --demo --cast "kate: a nurse from Cork" --cast "bob: a pirate"
      relay-gguf irc --host 0.0.0.0 --password SECRET --log irssi
    """
    if aliases is not None:
        print_aliases(aliases)
        return
    network(context, print_address, **options)


with_options_of_network(irc)


def print_address(host: str, port: int, encrypted: bool) -> None:
    """Say on stderr where clients connect."""
    how = " with TLS" if encrypted else ""
    page = ""
    if find_spec("websockets") is not None and opens_in_browsers(port):
        page = f", or open {page_address(host, port, encrypted)} in a browser"
    typer.echo(
        f"Connect an IRC client to {host}, port {port}{how}{page}. Ctrl-C ends the server.",
        err=True,
    )


def print_aliases(client: str) -> None:
    """Print lines for a client's input or configuration.

    Raises:
        SettingsError: there are no aliases for the client.
    """
    from relay_gguf.errors import SettingsError
    from relay_gguf.irc.bot.orders import aliases

    if client not in ("irssi", "weechat"):
        raise SettingsError(
            f"There are no aliases for {client!r}: irssi and weechat need them, HexChat sends "
            "/retry and the like as they are typed."
        )
    for line in aliases(client):
        typer.echo(line)
