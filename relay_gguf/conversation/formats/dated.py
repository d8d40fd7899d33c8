"""Messages with their times, as a log shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relay_gguf.conversation.messages import ACTION, Message, is_notice

Dated = tuple[float, Message]
"""A message with the Unix time at which it was said."""
DatedScene = tuple[str, Iterable[Dated]]
"""A channel, without its #, and what was said there."""


def without_echoes(lines: Iterable[Dated]) -> Iterator[Dated]:
    """The lines but for Relay's notice of an action, which a client's log does not repeat."""
    echo = ""
    for when, message in lines:
        if not (is_notice(message) and message.content == echo):
            yield when, message
        acted = not is_notice(message) and message.content.startswith(ACTION)
        echo = f"* {message.nick} used {message.content}" if acted else ""
