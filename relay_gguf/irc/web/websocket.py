"""Lines of IRC in the frames of a WebSocket, as IRCv3 has it: one a message, without CR LF."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from relay_gguf.irc.protocol.framing import Framer
from relay_gguf.irc.protocol.line import LINE_BYTES, TAG_BYTES

TEXT: Final = Subprotocol("text.ircv3.net")
BINARY: Final = Subprotocol("binary.ircv3.net")
MOST_BYTES: Final = 4 * (TAG_BYTES + LINE_BYTES)
"""Of a message: a line that is somewhat too long is answered with 417, as without a WebSocket."""
_READ_BYTES: Final = 4096
_REASON_BYTES: Final = 120
"""Of a close frame, which has room for 125 bytes with its code."""


def handshake_protocol() -> ServerProtocol:
    """WebSockets before the handshake: without compression, and each message bounded."""
    return ServerProtocol(select_subprotocol=_chosen, extensions=None, max_size=MOST_BYTES)


def _chosen(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first of ours that a client offers: its order counts."""
    return next((one for one in offered if one in (TEXT, BINARY)), None)


class WebSocket:
    """A WebSocket whose handshake is done, as a place to write lines to and to read them from.

    What it sends is text or binary as was agreed. With a client that has asked for neither, it is
    what the client's first message is, and text before that. Either is read.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take over a connection from its handshake, with what was read behind that."""
        self._protocol, self._reader, self._writer = protocol, reader, writer
        self._sends_text = protocol.subprotocol != BINARY
        self._agreed = protocol.subprotocol is not None

    @property
    def transport(self) -> asyncio.WriteTransport:
        """Of the connection below: it knows how many bytes wait."""
        return self._writer.transport

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._protocol.state is not State.OPEN or self._writer.is_closing()

    def write(self, data: bytes) -> None:
        """Send a line, which may have its CR LF; never waits."""
        if self.is_closing():
            return
        line = data.rstrip(b"\r\n")
        if self._sends_text:
            self._protocol.send_text(line)
        else:
            self._protocol.send_binary(line)
        self._flush()

    async def lines(self) -> AsyncIterator[bytes | None]:
        """The client's lines until its end; None for one that is too long, as of a `Framer`.

        A message that is far too long, and text that is not UTF-8, end the connection with the
        codes 1009 and 1007.
        """
        framer, message, is_text = Framer(), bytearray(), False
        while True:
            for frame in self._protocol.events_received():
                if not isinstance(frame, Frame) or frame.opcode not in _DATA:
                    continue
                if frame.opcode is not Opcode.CONT:
                    is_text, message = frame.opcode is Opcode.TEXT, bytearray()
                message += frame.data
                if not frame.fin:
                    continue
                if not self._agreed:
                    self._agreed, self._sends_text = True, is_text
                if is_text and not _is_utf8(message):
                    self._protocol.fail(1007, "A text message has to be UTF-8.")
                    break
                for raw in framer.feed(bytes(message) + b"\n"):
                    yield raw
            self._flush()
            if self.is_closing():
                return
            await self._writer.drain()  # before more pings are answered
            data = await self._reader.read(_READ_BYTES)
            if not data:
                return
            self._protocol.receive_data(data)

    async def close(self, reason: str) -> None:
        """Say that the connection ends, and wait until the client has ended it too."""
        if self._protocol.state is State.OPEN:
            cut = reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
            self._protocol.send_close(1000, cut)
        self._flush()
        if self._writer.can_write_eof():
            self._writer.write_eof()
        # Closed with bytes unread, the connection would be reset, and the code perhaps lost.
        while data := await self._reader.read(_READ_BYTES):
            self._protocol.receive_data(data)
            self._protocol.events_received()
            if self._protocol.state is State.CLOSED or self._closed_by_client:
                return

    @property
    def _closed_by_client(self) -> bool:
        return self._protocol.close_rcvd is not None

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:  # else the end, which comes when the connection is closed
                self._writer.write(data)


_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


def _is_utf8(data: bytes | bytearray) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
