"""A saved session as a recording: its lines typed and answered again, at an even pace.

The pauses of the session itself are not kept: people think for minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from relay_gguf.conversation.messages import NICKS, is_notice
from relay_gguf.conversation.transcript import Transcript, Turn
from relay_gguf.conversation.wording import emote
from relay_gguf.display import DIM, RESET, nick_colour, width, wrap

COLUMNS, ROWS = 80, 24
"""Of an asciicast's window."""
Frame = tuple[float, str]
"""Seconds to wait, and the text to print then."""
LETTER: Final = 0.05
WORD: Final = 0.09
BEFORE_REPLY: Final = 0.7
AFTER_LINE: Final = 0.4
BETWEEN_LINES: Final = 0.25
BEFORE_TYPING: Final = 0.9
BEFORE_SCENE: Final = 1.5
AT_END: Final = 2.0
"""Seconds: of each typed letter, of each word of a reply, and of the pauses."""


def frames(scenes: Iterable[Transcript], columns: int, *, colour: bool = True) -> Iterator[Frame]:
    """What a recording shows, step by step.

    Args:
        scenes: each as a conversation of its own.
        columns: of the window.
        colour: whether nicks have colours and lines of IRC are dim.
    """
    for number, scene in enumerate(scenes):
        if number:
            yield BEFORE_SCENE, "\n"
        for turn in scene.turns:
            yield from _turn(turn, columns, colour)
    yield AT_END, ""


def _turn(turn: Turn, columns: int, colour: bool) -> Iterator[Frame]:
    said, human = turn.said, NICKS["input"]
    if said.ids:  # the model wrote it
        yield from _written(human, said.messages[0].content, columns, colour)
    elif said.line:
        yield from _typed(human, said.line, columns, colour)
    for message in said.messages:
        if is_notice(message):
            text = wrap(emote(message) or message.content, columns)
            yield BETWEEN_LINES, f"{DIM}{text}{RESET}\n" if colour else f"{text}\n"
    if turn.answer is not None:
        yield from _written(turn.answer.nick, turn.answer.content, columns, colour)


def _typed(nick: str, text: str, columns: int, colour: bool) -> Iterator[Frame]:
    head, body = _line(nick, text, columns, colour)
    yield BETWEEN_LINES, head
    pause = BEFORE_TYPING
    for letter in body:
        yield pause, letter
        pause = LETTER
    yield AFTER_LINE, "\n"


def _written(nick: str, text: str, columns: int, colour: bool) -> Iterator[Frame]:
    head, body = _line(nick, text, columns, colour)
    yield BEFORE_REPLY, head
    for word in re.findall(r"\s*\S+", body):
        yield WORD, word
    yield WORD, "\n"


def _line(nick: str, text: str, columns: int, colour: bool) -> tuple[str, str]:
    """The nick of a line as it is printed, and the text behind it, wrapped."""
    head = f"<{nick}> "
    body = wrap(text, columns, width(head), width(head))
    return f"{nick_colour(nick)}<{nick}>{RESET} " if colour else head, body


def asciicast(scenes: Sequence[Transcript], speed: float = 1.0) -> Iterator[str]:
    """A recording as the lines of an asciicast file, version 2, for asciinema and its players.

    Args:
        scenes: one at least.
        speed: how many times as fast.
    """
    title = f"#{scenes[-1].channel}"
    yield json.dumps({"version": 2, "width": COLUMNS, "height": ROWS, "title": title})
    now = 0.0
    for pause, text in frames(scenes, COLUMNS):
        now += pause / speed
        yield json.dumps([round(now, 3), "o", text.replace("\n", "\r\n")])
