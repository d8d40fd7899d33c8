"""A client: a user at the other end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from relay_gguf.irc.protocol.line import Line, encode
from relay_gguf.irc.protocol.numerics import ERROR_TEXTS

from .labels import labelled
from .limits import Limits
from .message import WRITING, Batch
from .rate_limit import Bucket
from .user import User

_TAG_CAPS = {
    "time": "server-time",
    "batch": "batch",
    "label": "labeled-response",
    "draft/multiline-concat": "draft/multiline",
    WRITING: WRITING,
}
"""Tag → the capability that brings it; all other tags come with message-tags."""


class Disconnect(Exception):  # noqa: N818 - nothing went wrong
    """Raised where a client's command ends its connection; its text says why."""


class Outlet(Protocol):
    """Where lines to a client are written: a connection, or a WebSocket on one."""

    @property
    def transport(self) -> asyncio.WriteTransport: ...

    def is_closing(self) -> bool: ...

    def write(self, data: bytes) -> None: ...


class Client(User):
    """A user with a connection: what its client can do, and how far registration is."""

    def __init__(
        self,
        outlet: Outlet,
        host: str,
        server: str,
        limits: Limits,
        overflow: Callable[[Client], None],
    ) -> None:
        """Begin with the nick `*`, as the numerics call a client before its NICK.

        Args:
            outlet: of the connection.
            host: for `nick!user@host`.
            server: the name of the server, for its replies.
            limits: of the server.
            overflow: called once, when more than `limits.sendq` bytes wait to be read.
        """
        super().__init__("*", "", host)
        self.outlet = outlet
        self.bucket = Bucket(limits.burst, limits.rate)
        self.caps: set[str] = set()
        """The capabilities that were negotiated (IRCv3 CAP)."""
        self.cap_version = 301
        self.negotiates = False
        """Whether CAP END has still to come, before which nobody is registered."""
        self.registered = False
        self.password = ""
        """Of PASS, until registration."""
        self.authenticated = False
        """Whether the password came by SASL already."""
        self.sasl: str | None = None
        """What came of a SASL response; None while none is expected."""
        self.channels: dict[str, None] = {}
        """The folded names of its channels, in the order of joining."""
        self.target = ""
        """Where this client last spoke, or the channel that it joined after that."""
        self.batches: dict[str, Batch | None] = {}
        """Multiline messages that are being sent, by reference; None for a refused one."""
        self.heard = self.spoke
        """When the last line came, in monotonic seconds."""
        self.asked = False
        """Whether a PING was sent and no line has come since."""
        self.gone = False
        """Whether the connection ends: nothing more is sent or read."""
        self._answer: list[Line] | None = None
        """The lines of an answer that will have a label; None while none is collected."""
        self._answering: asyncio.Task[object] | None = None
        self._label = ""
        self._server = server
        self._sendq = limits.sendq
        self._overflow = overflow

    def can(self, *caps: str) -> bool:
        """Whether these capabilities were all negotiated."""
        return self.caps.issuperset(caps)

    def send(self, line: Line, *, answers: bool = True) -> None:
        """Send a line with those of its tags that this client wants; never waits.

        Where its own command is answered with a label, the line is held until all of the answer is
        there, unless it says that it is no part of it.
        """
        if self.gone or self.outlet.is_closing():
            return
        if self._answer is not None and answers and asyncio.current_task() is self._answering:
            self._answer.append(line)
            return
        if line.tags:
            line = Line(line.verb, line.params, line.source, self._wanted(line.tags))
        self.outlet.write(encode(line))
        if self.outlet.transport.get_write_buffer_size() > self._sendq:
            self.gone = True
            self._overflow(self)

    @contextmanager
    def answering(self, label: str, ref: str) -> Iterator[None]:
        """Give the lines that are sent meanwhile, in the same task, a label; none with ''."""
        if not label or not self.can("labeled-response"):
            yield
            return
        self._answer, self._answering, self._label = [], asyncio.current_task(), label
        try:
            yield
        finally:
            lines, self._answer = self._answer, None
            if lines is not None:
                batches = self.can("batch")
                server = self._server
                for line in labelled(lines, label, server=server, ref=ref, batches=batches):
                    self.send(line)

    def take_label(self) -> str:
        """The label of the command that is answered, which gets no answer yet; '' for none."""
        label = self._label if self._answer is not None else ""
        self._answer = None
        return label

    def reply(self, numeric: str, *params: str) -> None:
        """Send a numeric reply of the server."""
        self.send(Line(numeric, (self.nick, *params), self._server))

    def error(self, numeric: str, *params: str, text: str = "") -> None:
        """Send an error numeric, with `text` or else the usual text of this number."""
        self.reply(numeric, *params, text or ERROR_TEXTS[numeric])

    def fail(self, verb: str, code: str, *params: str) -> None:
        """Send a FAIL (IRCv3 standard replies); the last parameter is the text."""
        self.send(Line("FAIL", (verb, code, *params), self._server))

    def send_closing(self, reason: str) -> None:
        """Send ERROR, the last line that this client gets, unless it got that already."""
        held, self._answer = self._answer or [], None
        for line in held:
            self.send(line)
        self.send(Line("ERROR", (f"Closing link: {self.nick}[{self.host}] ({reason})",)))
        self.gone = True

    def _wanted(self, tags: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in tags.items()
            if _TAG_CAPS.get(name, "message-tags") in self.caps
        }
