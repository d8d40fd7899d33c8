"""One line of IRC: tags, source, verb and parameters, read and written.

The grammar is RFC 1459 section 2.3.1 with the tags of IRCv3's message-tags. Lines are text here;
`framing.read` makes text of bytes, `encode` bytes of lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LINE_BYTES: Final = 512
"""Most bytes of a line without its tags, CR LF included (RFC 1459 section 2.3)."""
TAG_BYTES: Final = 4096
"""Most bytes of the tags that a client may send, `@` and the space behind included
(message-tags, Size limit)."""

_ESCAPES: Final = {";": "\\:", " ": "\\s", "\\": "\\\\", "\r": "\\r", "\n": "\\n"}
_ESCAPED: Final = str.maketrans({**_ESCAPES, "\0": None})
_MEANT: Final = {":": ";", "s": " ", "r": "\r", "n": "\n"}
_ONE_LINE: Final = str.maketrans({"\0": None, "\r": " ", "\n": " "})

# The last parameter of all other lines is a text, which gets a colon even if it is a single word:
# ii and many bots find a message by its colon.
_WORDS_ONLY: Final = frozenset(
    ("004", "221", "324", "329", "333", "341", "367", "BATCH", "INVITE", "MODE")
)
_ONE_TEXT: Final = frozenset(("AWAY", "ERROR", "PING", "QUIT", "SETNAME"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line in its parts; values of `tags` are unescaped, '' for a tag without a value."""

    verb: str
    params: tuple[str, ...] = ()
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Line:
    """Parse a line; several spaces between its parts count as one.

    Raises:
        ValueError: the line has no verb.
    """
    tags: dict[str, str] = {}
    if text.startswith("@"):
        escaped, _, text = text[1:].partition(" ")
        tags = _parse_tags(escaped)
    text, source = text.lstrip(" "), ""
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
    words, colon, trailing = f" {text}".partition(" :")
    verb, *params = [word for word in words.split(" ") if word] or [""]
    if not verb:
        raise ValueError("a line without a verb")
    if colon:
        params.append(trailing)
    return Line(verb, tuple(params), source, tags)


def format_line(line: Line) -> str:
    """The line as text without CR LF; never more than one line, whatever is in it.

    The last parameter can be any text. Another one is changed if it cannot stand in the middle
    (empty, with a space, with a colon in front).
    """
    parts = [line.verb]
    if line.source:
        parts.insert(0, f":{line.source}")
    if line.params:
        *middle, last = (param.translate(_ONE_LINE) for param in line.params)
        parts += [param.replace(" ", "_").lstrip(":") or "*" for param in middle]
        parts.append(f":{last}" if _needs_colon(line.verb, last, len(middle)) else last)
    if line.tags:
        parts.insert(0, "@" + ";".join(_format_tag(*tag) for tag in line.tags.items()))
    return " ".join(parts)


def encode(line: Line) -> bytes:
    """The line as it is sent: UTF-8, at most 512 bytes behind its tags, CR LF included.

    A longer line is cut between two characters; messages were split before they come here.
    """
    body = Line(line.verb, line.params, line.source)
    data = cut_bytes(format_line(body), LINE_BYTES - 2)
    if line.tags:
        tags = "@" + ";".join(_format_tag(*tag) for tag in line.tags.items())
        data = tags.encode("utf-8", "replace") + b" " + data
    return data + b"\r\n"


def cut_bytes(text: str, size: int) -> bytes:
    """The beginning of a text as UTF-8, at most `size` bytes, no character cut in two."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return data
    return data[: max(size, 0)].decode("utf-8", "ignore").encode("utf-8")


def cut(text: str, size: int) -> str:
    """The beginning of a text that takes at most `size` bytes in UTF-8."""
    return cut_bytes(text, size).decode("utf-8")


def _needs_colon(verb: str, last: str, before: int) -> bool:
    if not last or " " in last or last.startswith(":"):
        return True
    return verb not in _WORDS_ONLY and (before > 0 or verb in _ONE_TEXT)


def _parse_tags(text: str) -> dict[str, str]:
    """Tags by name; the last of two with the same name counts (message-tags, Format)."""
    tags = {}
    for tag in text.split(";"):
        name, _, value = tag.partition("=")
        if name:
            tags[name] = re.sub(r"\\(.?)", lambda m: _MEANT.get(m[1], m[1]), value, flags=re.DOTALL)
    return tags


def _format_tag(name: str, value: str) -> str:
    return f"{name}={value.translate(_ESCAPED)}" if value else name
