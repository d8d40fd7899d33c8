"""An HTTP request at the port of the IRC server: the page, a refusal, or a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Request
from websockets.server import ServerProtocol

from relay_gguf.machine.listen_address import foreign

from .website import PageAnswer, answer_to, plain, raw
from .websocket import WebSocket, handshake_protocol

_READ_BYTES: Final = 4096


async def answered(
    first: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    host: str,
    orders: Callable[[], bytes],
) -> WebSocket | None:
    """Answer a request; the WebSocket that it asked for, None if it asked for a file or in vain.

    Args:
        first: the bytes that were read already.
        reader, writer: the connection, which the caller closes.
        host: where the server listens.
        orders: makes the list of orders for the page, in JSON.
    """
    protocol = handshake_protocol()
    request = await _request(protocol, first, reader)
    if request is None:  # broken: some of what is wrong has got an answer
        await _send(writer, b"".join(protocol.data_to_send()))
        return None
    answer = _answer(request, host, orders)
    if answer is not None:
        await _send(writer, raw(answer))
        return None
    protocol.send_response(protocol.accept(request))
    await _send(writer, b"".join(protocol.data_to_send()))
    return WebSocket(protocol, reader, writer) if protocol.handshake_exc is None else None


async def _request(
    protocol: ServerProtocol, data: bytes, reader: asyncio.StreamReader
) -> Request | None:
    """The request, once its headers are there; None if they are broken or do not come."""
    while data:
        protocol.receive_data(data)
        if protocol.handshake_exc is not None:
            return None
        for event in protocol.events[:1]:
            if isinstance(event, Request):
                del protocol.events[0]  # what follows are frames
                return event
        data = await reader.read(_READ_BYTES)
    return None


def _answer(request: Request, host: str, orders: Callable[[], bytes]) -> PageAnswer | None:
    """The answer to a request; None for one that may become a WebSocket."""
    if problem := foreign(host, _header(request, "Host"), _header(request, "Origin")):
        return plain(403, problem)
    if "Upgrade" in request.headers:
        return None
    return answer_to(request.path, orders)


def _header(request: Request, name: str) -> str | None:
    """The value of a header; None if it is not there, a value that fits nothing if it is twice."""
    headers: Headers = request.headers
    try:
        return headers.get(name)
    except MultipleValuesError:
        return ""


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send all of it: slow clients have until they would have to register."""
    writer.transport.set_write_buffer_limits(0)
    writer.write(data)
    await writer.drain()
    writer.transport.set_write_buffer_limits()
