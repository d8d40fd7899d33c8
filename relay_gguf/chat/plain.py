"""The chat without a terminal: lines in, lines or JSON objects out. For pipes and scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from relay_gguf.conversation.events import (
    Alternative,
    Draft,
    Event,
    Failed,
    Left,
    Notice,
    Offered,
    Piece,
    Prompted,
    Reading,
    Replayed,
    Said,
    Trimmed,
    Typing,
)
from relay_gguf.conversation.messages import SILENCE, Message
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.wording import as_shown, choice_notice, cut_mark, trim_notice
from relay_gguf.display import UNSAFE, one_line, visible

from .interrupt import stoppable


def run_plain(
    session: Session,
    opening: Iterable[Event],
    lines: TextIO,
    out: TextIO,
    *,
    as_json: bool,
    stream: bool = False,
) -> None:
    """Read lines until they end or the user leaves; write the events that follow.

    Args:
        session: the conversation.
        opening: events that are written before the first line is read.
        lines: the input.
        out: the output.
        as_json: whether events are written as JSON objects.
        stream: whether these include a reply's pieces as they come.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed while no reply was being written, or twice; the
            first one stops a reply.
    """
    show = _Json(out, stream=stream) if as_json else _Lines(out)
    show.events("", opening)
    for line in _lines(lines):
        with stoppable(session.cancel) as interrupts:
            left = show.events(line.strip() or SILENCE, session.submit(line))
        if interrupts.leaves:
            raise KeyboardInterrupt
        if left:
            return


def _lines(lines: TextIO) -> Iterator[str]:
    for line in lines:
        yield line.rstrip("\r\n")


class _Lines:
    """Writes events as lines, `<nick> text` and `* text`; a reply appears piece by piece."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begun = ""  # what a line begins with whose first piece has not come
        self._streaming = False

    def events(self, line: str, events: Iterable[Event]) -> bool:
        """Write the events of a typed line, '' for none; returns whether the user leaves."""
        for event in events:
            match event:
                case Typing(nick, opening, draft=False):
                    self._begun = f"<{nick}> {visible(opening)}"
                case Piece(text):
                    self._stream(visible(text))
                case Said(reason=reason) if reason is not None and (self._streaming or self._begun):
                    self._stream("")
                    self._end()
                    if mark := cut_mark(event):
                        self._line(mark)
                case Said(message):
                    self._said(message, line)
                case Alternative(event=Said(message), number=number) if number:
                    self._line(f"{number}: <{one_line(message.nick)}> {visible(message.content)}")
                case Offered():
                    self._line(f"* {choice_notice(event)}")
                case Replayed(messages):
                    for _, message in messages:
                        self._said(message)
                case Notice(text):
                    self._line(visible(text))
                case Failed(text):
                    self._line(f"* error: {one_line(text)}")
                case Trimmed():
                    self._line(f"* {trim_notice(event)}")
                case Draft(text):
                    self._line(f"* draft: {visible(text)}")
                case Left():
                    return True
                case _:
                    pass
        self._end()
        return False

    def _said(self, message: Message, typed: str | None = None) -> None:
        match as_shown(message, typed):
            case "", text:
                self._line(visible(text))
            case nick, text:
                self._line(f"<{one_line(nick)}> {visible(text)}")

    def _line(self, text: str) -> None:
        self._end()
        self._write(text + "\n")

    def _stream(self, text: str) -> None:
        self._write(self._begun + text)
        self._begun, self._streaming = "", True

    def _end(self) -> None:
        self._begun = ""
        if self._streaming:
            self._streaming = False
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class _Json:
    """Writes events as JSON objects, one a line."""

    def __init__(self, out: TextIO, *, stream: bool) -> None:
        self._out = out
        self._stream = stream

    def events(self, line: str, events: Iterable[Event]) -> bool:
        """Write the events of a typed line; returns whether the user leaves."""
        for event in events:
            if isinstance(event, Left):
                return True
            fields = event_json(event) or (stream_json(event) if self._stream else None)
            if fields:
                self._out.write(harmless_json(fields) + "\n")
                self._out.flush()
        return False


def harmless_json(fields: dict[str, Any]) -> str:
    """An object as a line of JSON that would not control a terminal if it got there."""
    text = json.dumps(fields, ensure_ascii=False)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def event_json(event: Event) -> dict[str, Any] | None:
    """The fields of an event for --json; None for an event that only a screen needs."""
    match event:
        case Prompted(nick, text, evaluated, reused):
            return {
                "event": "prompt",
                "nick": nick,
                "text": text,
                "evaluated": evaluated,
                "reused": reused,
            }
        case Said(message, tokens):
            return {
                "event": "message",
                "nick": message.nick,
                "content": message.content,
                "generated": event.reason is not None or message.generated > 0,
                "tokens": tokens or message.generated,
                "cut": message.cut,
            }
        case Alternative(event=Said() as said, number=number) if number:
            fields = event_json(said) or {}
            return {**fields, "event": "alternative", "number": number}
        case Offered(standing, count):
            return {"event": "offered", "standing": standing, "count": count}
        case Notice(text):
            return {"event": "notice", "text": text}
        case Trimmed():
            return {"event": "notice", "text": f"* {trim_notice(event)}"}
        case Failed(text):
            return {"event": "error", "text": text}
        case Draft(text):
            return {"event": "draft", "text": text}
        case _:
            return None


def stream_json(event: Event) -> dict[str, Any] | None:
    """The fields of an event while a reply is written, for --stream; None for any other."""
    match event:
        case Typing(nick, opening, draft):
            return {"event": "typing", "nick": nick, "opening": opening, "draft": draft}
        case Reading(done, total, seconds_left):
            left = None if seconds_left is None else round(seconds_left, 1)
            return {"event": "reading", "done": done, "total": total, "seconds_left": left}
        case Piece(text):
            return {"event": "piece", "text": text}
        case Alternative(row, Typing() | Piece() as one):
            fields = stream_json(one) or {}
            return {**fields, "row": row}
        case _:
            return None


def standard_streams(
    stdin: TextIO | None = None, stdout: TextIO | None = None
) -> tuple[TextIO, TextIO]:
    """stdin and stdout, UTF-8 whatever the locale; broken bytes are replaced, not fatal.

    Others may be given in their place. A byte order mark, which PowerShell and Notepad put first,
    is not part of the first line.
    """
    stdin, stdout = stdin or sys.stdin, stdout or sys.stdout
    for stream, encoding in ((stdin, "utf-8-sig"), (stdout, "utf-8")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding=encoding, errors="replace")
    return stdin, stdout
