"""CAP: IRCv3 capability negotiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.message import WRITING
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.numerics import ERR_INVALIDCAPCMD

from .registration import finish
from .sasl import MECHANISMS

OFFERED: Final = (
    "away-notify",
    "batch",
    "cap-notify",
    "draft/chathistory",
    "draft/multiline",
    "echo-message",
    "extended-join",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    WRITING,
    "server-time",
    "setname",
    "standard-replies",
    "userhost-in-names",
)


async def cap(network: Network, client: Client, line: Line) -> None:
    """CAP LS, LIST, REQ or END. After LS or REQ, registration waits for END."""
    command = _COMMANDS.get(line.params[0].upper())
    if command is None:
        client.error(ERR_INVALIDCAPCMD, line.params[0])
        return
    command(network, client, line.params[1] if len(line.params) > 1 else "")
    if command is _end and not client.registered:
        await finish(network, client)


def offered(network: Network) -> list[str]:
    """The capabilities of a server; SASL is one where there is a password."""
    return sorted([*OFFERED, *(["sasl"] if network.password else [])])


def announced(version: int, network: Network) -> str:
    """The list of CAP LS; from version 302 on, capabilities have values."""
    limits = network.limits
    lines = f"max-bytes={limits.batch_bytes},max-lines={limits.batch_lines}"
    values = {"draft/multiline": f"={lines}", "sasl": f"={MECHANISMS}"} if version >= 302 else {}
    return " ".join(name + values.get(name, "") for name in offered(network))


def _ls(network: Network, client: Client, rest: str) -> None:
    version = int(rest) if rest.isascii() and rest.isdigit() and len(rest) < 9 else 301
    client.cap_version = max(client.cap_version, version)
    if client.cap_version >= 302:
        client.caps.add("cap-notify")
    _suspend(client)
    _answer(network, client, "LS", announced(version, network))


def _list(network: Network, client: Client, rest: str) -> None:
    _answer(network, client, "LIST", " ".join(sorted(client.caps)))


def _req(network: Network, client: Client, rest: str) -> None:
    """Take all of a request or nothing of it; the answer repeats it."""
    _suspend(client)
    wanted = rest.split()
    keeps = client.cap_version >= 302 and "-cap-notify" in wanted
    if keeps or not {name.removeprefix("-") for name in wanted} <= set(offered(network)):
        _answer(network, client, "NAK", rest.strip())
        return
    for name in wanted:
        if name.startswith("-"):
            client.caps.discard(name[1:])
        else:
            client.caps.add(name)
    _answer(network, client, "ACK", rest.strip())


def _end(network: Network, client: Client, rest: str) -> None:
    client.negotiates = False


def _suspend(client: Client) -> None:
    client.negotiates = not client.registered


def _answer(network: Network, client: Client, command: str, text: str) -> None:
    client.send(Line("CAP", (client.nick, command, text), network.name))


_COMMANDS: Final[dict[str, Callable[[Network, Client, str], None]]] = {
    "LS": _ls,
    "LIST": _list,
    "REQ": _req,
    "END": _end,
}
