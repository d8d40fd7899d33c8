"""A scene as a log of an IRC client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from relay_gguf.conversation.messages import ACTION, is_notice

from .dated import Dated, without_echoes


def to_irssi(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """irssi's log: `HH:MM <nick> text`, `-!-` before IRC's own lines, a line for each new day.

    An action, `/me waves`, is `HH:MM  * nick waves`.
    """
    day = None
    for when, message in without_echoes(lines):
        stamp = time.localtime(when)
        if day is None:
            yield time.strftime("--- Log opened %a %b %d %H:%M:%S %Y", stamp)
        elif day != stamp[:3]:
            yield time.strftime("--- Day changed %a %b %d %Y", stamp)
        day = stamp[:3]
        clock = time.strftime("%H:%M", stamp)
        for part in message.content.split("\n"):
            if is_notice(message):
                yield f"{clock} -!- {part.removeprefix('* ')}"
            elif part.startswith(ACTION):
                yield f"{clock}  * {message.nick} {part.removeprefix(ACTION)}"
            else:
                yield f"{clock} < {message.nick}> {part}"


def to_weechat(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """WeeChat's log: date and time, nick, text, between tabs; `--` for IRC's own lines.

    An action, `/me waves`, has ` *` in the nick's place, and the nick in the text's.
    """
    for when, message in without_echoes(lines):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
        who = "--" if is_notice(message) else message.nick
        for part in message.content.split("\n"):
            if who != "--" and part.startswith(ACTION):
                yield f"{stamp}\t *\t{who} {part.removeprefix(ACTION)}"
            else:
                yield f"{stamp}\t{who}\t{part.removeprefix('* ') if who == '--' else part}"
