"""Commands that the server does not know: the resident may."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.numerics import ERR_UNKNOWNCOMMAND


async def forward(
    network: Network, client: Client, verb: str, params: tuple[str, ...], raw: str
) -> None:
    """Let the resident do a command, or refuse it.

    Where the resident answers at once, all is in order when this returns; where it takes its time,
    the client's next line is not kept waiting.
    """
    done = asyncio.Event()

    async def ask() -> None:
        taken = False
        try:
            taken = await network.resident.unknown_command(client, verb, params, raw)
        finally:
            if not taken:
                client.error(ERR_UNKNOWNCOMMAND, verb)
            done.set()

    if not network.errands.add(("command", client), ask):
        client.error(ERR_UNKNOWNCOMMAND, verb, text="Too many commands wait already")
        return
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(done.wait(), network.limits.patience)
