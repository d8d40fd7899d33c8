"""A client: a user at the other end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from relay_gguf.irc.protocol.line import Line, encode
from relay_gguf.irc.protocol.numerics import ERROR_TEXTS

from .limits import Limits
from .rate_limit import Bucket
from .user import User

if TYPE_CHECKING:
    from relay_gguf.irc.commands.multiline import Batch

    from .channel import Channel

_NEEDS = {"time": "server-time", "batch": "batch", "draft/multiline-concat": "draft/multiline"}
"""Tag → the capability that brings it; all others come with message-tags."""


class Goodbye(Exception):  # noqa: N818 - nothing went wrong
    """Raised where a client's command ends its connection; its text says why."""


class Client(User):
    """A connection, what its client can do, and who is there."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        host: str,
        server: str,
        limits: Limits,
        overflow: Callable[[Client], None],
    ) -> None:
        """Begin with a nick of `*`, as the numerics call who has none.

        Args:
            writer: of the connection.
            host: for `nick!user@host`.
            server: the name of the server, for its replies.
            limits: of the server.
            overflow: is told, once, that the client does not read what it is sent.
        """
        super().__init__("*", "", host)
        self.bucket = Bucket(limits.burst, limits.rate)
        self.caps: set[str] = set()
        self.cap_version = 301
        self.negotiates = False
        self.registered = False
        self.password = ""
        self.channels: dict[str, Channel] = {}
        """By folded name, in the order of joining."""
        self.target = ""
        """Where this client last spoke, or the channel that it joined after that."""
        self.batches: dict[str, Batch | None] = {}
        """Multiline messages that are being sent; None for one that was refused."""
        self.heard = self.spoke
        """When the last line came, in monotonic seconds."""
        self.asked = False
        """Whether a PING is on its way that was not answered yet."""
        self.gone = False
        self._writer = writer
        self._server = server
        self._sendq = limits.sendq
        self._overflow = overflow

    def can(self, *caps: str) -> bool:
        """Whether these capabilities were all negotiated."""
        return self.caps.issuperset(caps)

    def send(self, line: Line) -> None:
        """Send a line with those of its tags that this client wants; never waits."""
        if self.gone or self._writer.is_closing():
            return
        if line.tags:
            line = Line(line.verb, line.params, line.source, self._wanted(line.tags))
        self._writer.write(encode(line))
        if self._writer.transport.get_write_buffer_size() > self._sendq:
            self.gone = True
            self._overflow(self)

    def reply(self, numeric: str, *params: str) -> None:
        """Answer with a number, from the server."""
        self.send(Line(numeric, (self.nick, *params), self._server))

    def error(self, numeric: str, *params: str, text: str = "") -> None:
        """Refuse with a number, from the server; the text is the usual one unless given."""
        self.reply(numeric, *params, text or ERROR_TEXTS[numeric])

    def fail(self, verb: str, code: str, *params: str) -> None:
        """Refuse with an IRCv3 standard reply; the last parameter is a text."""
        self.send(Line("FAIL", (verb, code, *params), self._server))

    def farewell(self, reason: str) -> None:
        """Send the last line that this client gets, unless it got that already."""
        self.send(Line("ERROR", (f"Closing link: {self.nick}[{self.host}] ({reason})",)))
        self.gone = True

    def _wanted(self, tags: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in tags.items()
            if _NEEDS.get(name, "message-tags") in self.caps
        }
