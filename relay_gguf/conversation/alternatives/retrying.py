"""What /retry, /prev and /next do, on a dialogue.

As `actions`: each takes the dialogue, the command's argument and the whole typed line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Alternative, Event, Notice, Offered, Said, Trimmed
from relay_gguf.conversation.transcript import Chose, Forgot, Turn
from relay_gguf.errors import CommandError

from .drawing import Drawing

MOST: Final = 16
"""Replies that are drawn at once, at most."""


def retry(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/retry`: the model answers the last turn again; with a number, so many times at once."""
    last = dialogue.transcript.last
    if last is None or not (last.answers or last.said.awaits):
        raise CommandError("Nothing to retry: the model did not speak last.")
    if (n := _number(argument)) is not None and not 1 <= n <= MOST:
        raise CommandError(f"/retry takes a number of replies, 1 to {MOST}: /retry 4.")
    if n is not None and n > 1:
        yield from _several(dialogue, last, n)
        return
    if last.answers:
        number = len(last.answers) + 1
        nick = last.answers[last.chosen].message.nick
        yield Notice(f"* {nick}'s reply is replaced ({number}/{number}), /prev brings it back:")
        if not dialogue.generator.params.temperature:
            yield Notice("* At temperature 0 a reply repeats itself; /set temperature 0.7 helps.")
    yield from dialogue.answer()


def previous_reply(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/prev`: the reply before the chosen one stands; with a number, the one of that number."""
    return _choose(dialogue, -1, argument)


def next_reply(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/next`: the reply after the chosen one stands; with a number, the one of that number."""
    return _choose(dialogue, +1, argument)


def _choose(dialogue: Dialogue, step: int, argument: str) -> Iterator[Event]:
    last = dialogue.transcript.last
    count = len(last.answers) if last else 0
    number = _number(argument)
    if last is None or count < (2 if number is None else 1):
        raise CommandError("There is one reply at most. /retry makes another.")
    if number is not None and not 1 <= number <= count:
        raise CommandError(f"There are the replies 1 to {count}: /next {count}.")
    index = last.chosen + step if number is None else number - 1
    if not 0 <= index < count:
        place = "newest; /retry makes another" if step > 0 else "first"
        raise CommandError(f"This is the {place} ({last.chosen + 1}/{count}).")
    if index != last.chosen:
        dialogue.record(Chose(index))
    message = last.answers[index].message
    yield Notice(f"* {message.nick}'s reply {index + 1}/{count}:")
    yield Said(message)


def _number(argument: str) -> int | None:
    """The number that is typed after a command; None if nothing is, 0 for what is not a number."""
    if not argument:
        return None
    return int(argument) if argument.isascii() and argument.isdigit() and len(argument) < 9 else 0


def _several(dialogue: Dialogue, last: Turn, n: int) -> Iterator[Event]:
    """Draw several replies and keep each; the one that stood stands until another is chosen."""
    if not dialogue.generator.params.temperature:
        raise CommandError("At temperature 0 all replies are the same: /set temperature 0.7 helps.")
    if dialogue.cancelled:
        return
    lines = dialogue.transcript.context[: -1 if last.answers else None]
    known = [one.message.content for one in last.answers]
    drawing = Drawing(dialogue.generator, lines, "model", n, known)
    ended: dict[int, Said | None] = {}
    row = 0  # that is kept next: numbers follow the rows
    for event in drawing.events():
        match event:
            case Trimmed(indices):
                dialogue.record(Forgot(indices))
                yield event
            case Alternative(at, Said() | None as said):
                ended[at] = said
                while row in ended:
                    yield _kept(dialogue, row, ended[row])
                    row += 1
            case _:
                yield event
    now = dialogue.transcript.last
    count = len(now.answers) if now else 0
    if now is None or count == len(last.answers):
        stays, asks = "* The reply stays as it was.", "* No reply; /retry asks again."
        yield Notice(stays if last.answers else asks)
        return
    yield Offered(now.chosen + 1, count)


def _kept(dialogue: Dialogue, row: int, said: Said | None) -> Alternative:
    """Keep a reply beside the one that stands; the first reply of a turn stands itself."""
    if said is None:
        return Alternative(row, None)
    before = dialogue.transcript.last
    stands = before.chosen if before is not None and before.answers else None
    deque(dialogue.keep("reply" if stands is None else "alternative", said), maxlen=0)
    if stands is not None:
        dialogue.record(Chose(stands))
    after = dialogue.transcript.last
    return Alternative(row, said, len(after.answers) if after else 0)
