"""Commands that the server does not know: the hooks may."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.numerics import ERR_UNKNOWNCOMMAND


async def forward(
    network: Network, client: Client, verb: str, params: tuple[str, ...], raw: str
) -> None:
    """Let the hooks do a command; if they refuse, send 421.

    If the hooks answer within `limits.patience`, that has happened when this returns. If they take
    longer, the client's next line does not wait for them.
    """
    done, waits = asyncio.Event(), True
    taken = False

    async def ask() -> None:
        nonlocal taken
        try:
            taken = await network.hooks.unknown_command(client, verb, params, raw)
        finally:
            done.set()
            if not taken and not waits:
                client.error(ERR_UNKNOWNCOMMAND, verb)

    if not network.jobs.add(("command", client), ask):
        client.error(ERR_UNKNOWNCOMMAND, verb, text="Too many commands wait already")
        return
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(done.wait(), network.limits.patience)
    waits = False
    if done.is_set() and not taken:  # here, where the answer gets the label of the command
        client.error(ERR_UNKNOWNCOMMAND, verb)
