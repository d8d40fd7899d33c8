"""Lines of a channel as raw text, `<anon> hi`, and such lines as messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from relay_gguf.conversation.messages import ACTION, NICKS, Message, is_notice

TALKERS: Final = (NICKS["input"], NICKS["model"])
"""The nicks of the two who talk."""

_SAID: Final = re.compile(rf"<({'|'.join(TALKERS)})>[ \t]*(\S.*)")
_ACTED: Final = re.compile(rf"\* ({'|'.join(TALKERS)}) (\S.*)")
_NOTICE: Final = re.compile(
    r"(?:has |have |was |is now |sets? |changed? |left\b|quits?\b|joined\b|kicked\b|used /|gives )"
)
"""What the server says of somebody; anything else behind a star and a nick is done by them."""


def spoken(line: str) -> Message | None:
    """The message of a line that one of the two says or does; None for any other line."""
    if match := _SAID.fullmatch(line):
        return Message(match[1], match[2].rstrip())
    match = _ACTED.fullmatch(line)
    if match is None or _NOTICE.match(match[2]):
        return None
    return Message(match[1], f"{ACTION}{match[2].rstrip()}")


def shown(message: Message) -> Iterator[str]:
    """The lines of a message, as a channel shows them."""
    nick, content = message.nick, message.content
    if is_notice(message):
        yield from content.splitlines()
    elif content.startswith(ACTION):
        yield f"* {nick} {' '.join(content.removeprefix(ACTION).split())}"
    else:
        for line in content.splitlines():
            if line.strip():
                yield f"<{nick}> {line.strip()}"


def joined(lines: Iterable[Message]) -> tuple[Message, ...]:
    """Messages in which lines that one person says in a row are one; actions stay alone."""
    found: list[Message] = []
    for line in lines:
        last = found[-1] if found else None
        if last is not None and last.nick == line.nick and not _acts(last) and not _acts(line):
            found[-1] = Message(line.nick, f"{last.content}\n{line.content}")
        else:
            found.append(line)
    return tuple(found)


def _acts(message: Message) -> bool:
    return message.content.startswith(ACTION)
