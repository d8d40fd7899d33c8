"""AUTHENTICATE: the server's password in another form (IRCv3 sasl-3.2, mechanism PLAIN).

Offered where the server has a password. There are no accounts: any name goes with the password.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.numerics import (
    ERR_SASLABORTED,
    ERR_SASLALREADY,
    ERR_SASLFAIL,
    ERR_SASLTOOLONG,
    RPL_LOGGEDIN,
    RPL_SASLMECHS,
    RPL_SASLSUCCESS,
)

from .registration import is_right

MECHANISMS: Final = "PLAIN"
_CHUNK: Final = 400
_MOST: Final = 4 * _CHUNK


async def authenticate(network: Network, client: Client, line: Line) -> None:
    """AUTHENTICATE PLAIN, then the name and the password in base64, 400 characters a line."""
    said = line.params[0]
    if not network.password or client.registered:
        client.error(ERR_SASLFAIL)
    elif client.authenticated:
        client.error(ERR_SASLALREADY)
    elif said == "*":
        client.sasl = None
        client.error(ERR_SASLABORTED)
    elif client.sasl is None:
        if said.upper() == MECHANISMS:
            client.sasl = ""
            client.send(Line("AUTHENTICATE", ("+",)))
        else:
            client.reply(RPL_SASLMECHS, MECHANISMS, "are available SASL mechanisms")
            client.error(ERR_SASLFAIL)
    else:
        _collect(network, client, said)


def _collect(network: Network, client: Client, said: str) -> None:
    """Add a line to the response; one shorter than 400 characters is the last."""
    response = (client.sasl or "") + ("" if said == "+" else said)
    client.sasl = response
    if len(said) > _CHUNK or len(response) > _MOST:
        client.sasl = None
        client.error(ERR_SASLTOOLONG)
    elif len(said) < _CHUNK:
        client.sasl = None
        _finish(network, client, response)


def _finish(network: Network, client: Client, response: str) -> None:
    try:
        name, account, given = b64decode(response, validate=True).decode().split("\0")
    except (binascii.Error, ValueError):
        client.error(ERR_SASLFAIL)
        return
    if name not in ("", account) or not is_right(network, client, given, network.password):
        client.error(ERR_SASLFAIL)
        return
    client.authenticated = True
    source = f"{client.nick}!{client.username or '*'}@{client.host}"
    shown = "".join(c for c in account if c.isprintable() and c not in " :,")[:30] or "*"
    client.reply(RPL_LOGGEDIN, source, shown, f"You are now logged in as {shown}")
    client.reply(RPL_SASLSUCCESS, "SASL authentication successful")
