"""The greeting after registration, and LUSERS MOTD VERSION TIME INFO ADMIN (RFC 2812 3.4)."""

from __future__ import annotations

import time
from itertools import islice

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.jobs import attempt
from relay_gguf.irc.network.limits import isupport
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.modes import INVISIBLE, USER_MODES, channel_modes
from relay_gguf.irc.protocol.names import clean
from relay_gguf.irc.protocol.numerics import (
    ERR_NOADMININFO,
    ERR_NOSUCHSERVER,
    RPL_CREATED,
    RPL_ENDOFINFO,
    RPL_ENDOFMOTD,
    RPL_GLOBALUSERS,
    RPL_INFO,
    RPL_ISUPPORT,
    RPL_LOCALUSERS,
    RPL_LUSERCHANNELS,
    RPL_LUSERCLIENT,
    RPL_LUSERME,
    RPL_LUSEROP,
    RPL_LUSERUNKNOWN,
    RPL_MOTD,
    RPL_MOTDSTART,
    RPL_MYINFO,
    RPL_TIME,
    RPL_VERSION,
    RPL_WELCOME,
    RPL_YOURHOST,
)
from relay_gguf.irc.protocol.splitting import pieces
from relay_gguf.version import __version__

VERSION = f"relay-gguf-{__version__}"
_TOKENS_A_LINE = 13
_MOTD_BYTES = 380
_DEFAULT_MOTD = ("An IRC server for one person and a few friends.",)


def greet(network: Network, client: Client) -> None:
    """Send what a client gets once it is registered, in the order of RFC 2812 section 5.1.

    Many clients and bots join their channels on 376, so the MOTD is never left out.
    """
    created = time.strftime("%a %b %d %Y at %H:%M:%S UTC", time.gmtime(network.created))
    client.reply(RPL_WELCOME, f"Welcome to the Relay Network, {client.source}")
    client.reply(RPL_YOURHOST, f"Your host is {network.name}, running version {VERSION}")
    client.reply(RPL_CREATED, f"This server was created {created}")
    client.reply(RPL_MYINFO, network.name, VERSION, USER_MODES, *channel_modes())
    _send_isupport(network, client)
    _send_lusers(network, client)
    _send_motd(network, client)


async def lusers(network: Network, client: Client, line: Line) -> None:
    """LUSERS: the number of users, connections and channels."""
    _send_lusers(network, client)


async def motd(network: Network, client: Client, line: Line) -> None:
    """MOTD [server]: the message of the day, the hooks' if they have one."""
    if _is_meant(network, client, line):
        _send_motd(network, client)


async def version(network: Network, client: Client, line: Line) -> None:
    """VERSION [server]: the version of the server, and its ISUPPORT tokens."""
    if _is_meant(network, client, line):
        client.reply(RPL_VERSION, VERSION, network.name, "Relay turns a base LLM into an IRC")
        _send_isupport(network, client)


async def tell_time(network: Network, client: Client, line: Line) -> None:
    """TIME [server]: the local time of the server."""
    if _is_meant(network, client, line):
        client.reply(RPL_TIME, network.name, time.strftime("%a %b %d %Y %H:%M:%S %z"))


async def info(network: Network, client: Client, line: Line) -> None:
    """INFO [server]: what the server is, and where it comes from."""
    if not _is_meant(network, client, line):
        return
    for text in (
        f"{VERSION}: Relay turns a base LLM into an IRC.",
        "https://github.com/danlou/relay",
    ):
        client.reply(RPL_INFO, text)
    client.reply(RPL_ENDOFINFO, "End of INFO list")


async def admin(network: Network, client: Client, line: Line) -> None:
    """ADMIN [server]: an error, as the server has no administrative contact."""
    if _is_meant(network, client, line):
        client.error(ERR_NOADMININFO, network.name)


def _is_meant(network: Network, client: Client, line: Line) -> bool:
    """Whether a command is for this server; if it names another, the client gets 402."""
    if not line.params or not line.params[0] or network.is_server(line.params[0]):
        return True
    client.error(ERR_NOSUCHSERVER, line.params[0])
    return False


def _send_isupport(network: Network, client: Client) -> None:
    tokens = iter(isupport(network.limits))
    while some := list(islice(tokens, _TOKENS_A_LINE)):
        client.reply(RPL_ISUPPORT, *some, "are supported by this server")


def _send_lusers(network: Network, client: Client) -> None:
    people = network.registered
    users = [*people, *network.personas]
    hidden = sum(INVISIBLE in user.modes for user in users)
    unknown = len(network.clients) - len(people)
    most = network.most_clients
    client.reply(
        RPL_LUSERCLIENT,
        f"There are {len(users) - hidden} users and {hidden} invisible on 1 servers",
    )
    operators = sum(user.is_operator for user in people)
    client.reply(RPL_LUSEROP, str(operators), "operator(s) online")
    client.reply(RPL_LUSERUNKNOWN, str(unknown), "unknown connection(s)")
    client.reply(RPL_LUSERCHANNELS, str(len(network.channels)), "channels formed")
    client.reply(RPL_LUSERME, f"I have {len(people)} clients and 0 servers")
    here = f"Current local users {len(people)}, max {most}"
    client.reply(RPL_LOCALUSERS, str(len(people)), str(most), here)
    here = f"Current global users {len(people)}, max {most}"
    client.reply(RPL_GLOBALUSERS, str(len(people)), str(most), here)


def _send_motd(network: Network, client: Client) -> None:
    client.reply(RPL_MOTDSTART, f"- {network.name} Message of the day -")
    for text in attempt(network.hooks.motd) or _DEFAULT_MOTD:
        for piece in pieces(clean(text), _MOTD_BYTES):
            client.reply(RPL_MOTD, f"- {piece}")
    client.reply(RPL_ENDOFMOTD, "End of MOTD command")
