"""Bytes of a socket → lines of bounded length → their parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .line import LINE_BYTES, TAG_BYTES, Line, parse

_MOST: Final = TAG_BYTES + LINE_BYTES - 2
_END: Final = re.compile(rb"[\r\n]")
_HTTP: Final = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) |host:|\x16\x03",
    re.IGNORECASE,
)


class TooLongError(ValueError):
    """A line, or its tags, over the limit; answered with numeric 417."""


class EmptyLineError(ValueError):
    """A line without a verb, which is ignored (RFC 1459 section 2.3.1)."""


class NotTextError(ValueError):
    """A line that is not UTF-8; `verb` is the command in it, for the reply."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb)
        self.verb = verb


class Framer:
    """Cuts a stream of bytes into lines; keeps 4.5 KiB at most of a line that has not ended."""

    def __init__(self) -> None:
        self._rest = b""
        self._skips = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that end in `data`, without their ends; None for a line that was too long.

        CR, LF and both end a line (modern.ircdocs, Message Format); empty lines are left out.
        """
        *ended, rest = _END.split(self._rest + data)
        for raw in ended:
            if self._skips or len(raw) > _MOST:
                self._skips = False
                yield None
            elif raw:
                yield raw
        if len(rest) > _MOST:
            self._skips, rest = True, b""
        self._rest = rest

    @property
    def beginning(self) -> bytes:
        """The bytes of the line that has not ended yet."""
        return self._rest


def read(raw: bytes) -> Line:
    """A line of a client, parsed.

    Raises:
        TooLongError: the tags or the rest are over their limits.
        NotTextError: the line is not UTF-8.
        EmptyLineError: the line has no verb.
    """
    tags, space, body = raw.partition(b" ") if raw.startswith(b"@") else (b"", b"", raw)
    if len(tags) + len(space) > TAG_BYTES or len(body) > LINE_BYTES - 2:
        raise TooLongError
    try:
        text = raw.replace(b"\0", b"").decode("utf-8")
    except UnicodeDecodeError:
        raise NotTextError(body.split(b" ")[0].decode("utf-8", "replace")[:20] or "*") from None
    try:
        return parse(text)
    except ValueError:
        raise EmptyLineError from None


def without_tags(raw: bytes) -> str:
    """The text of a line that `read` accepts, as it was sent but without its tags."""
    text = raw.replace(b"\0", b"").decode("utf-8")
    return (text.partition(" ")[2] if text.startswith("@") else text).strip(" ")


def is_foreign(raw: bytes) -> bool:
    """Whether a first line comes from a browser or from TLS instead of an IRC client.

    A web page can make a browser send what it likes to a port of this machine, in the body of a
    POST. Its first line gives it away.
    """
    return _HTTP.match(raw) is not None
