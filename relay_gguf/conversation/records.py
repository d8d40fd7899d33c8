"""Records as JSON lines, and JSON lines as records: the format of a session file.

{"event": "session", "version": 1, "model": …, "path": …, "vocabulary": …, "time": …}
{"event": "turn", "line": "/slap", "messages": [{"nick": …, "content": …}, …], "time": …}
{"event": "reply", "nick": …, "content": …, "ids": […], "tokens": 12, "time": …}
{"event": "alternative" | "continue", …}   {"event": "choose", "index": 0}
{"event": "undo"}   {"event": "edit", …}   {"event": "trim", "messages": [3, 4]}
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay_gguf.errors import StoreError

from .messages import Message
from .transcript import Answered, Chose, Forgot, Record, Transcript, Turned, Undone

VERSION = 1
LAST_TIME = 250_000_000_000.0
"""Unix seconds at the end of the year 9892, the last that a record may have."""


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """The model that wrote the records which follow: its name and its file's path.

    `vocabulary` is that of `engine.Engine`: ids of a session are used again where it is the same.
    `piped` says that the lines come from a script, not from a person at a terminal.
    """

    model: str
    path: str
    vocabulary: str
    piped: bool = False


@dataclass(frozen=True, slots=True)
class SavedSession:
    """The content of a session file.

    `header` is the newest one. `entries` are the records, each with the vocabulary of its ids, and
    `transcript` is the conversation that they make.
    `good` is the length in bytes of the lines that could be read, and `torn` whether there is an
    unfinished line after them. The last of them may lack its newline, which some editors take away.
    """

    header: SessionHeader
    entries: tuple[tuple[Record, str], ...]
    transcript: Transcript
    good: int
    torn: bool


def decode(data: bytes, path: Path) -> SavedSession:
    """Read the bytes of a session file; errors name `path`. Empty lines are passed over.

    Raises:
        StoreError: a whole line is not a record, or does not fit to those before; the file does
            not begin with its header, or is not in UTF-8; a newer version wrote it.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StoreError(f"{path} is in UTF-16. Save it as UTF-8.")
    header: SessionHeader | None = None
    entries: list[tuple[Record, str]] = []
    good = 0
    transcript = Transcript()
    *lines, rest = data.split(b"\n")
    if whole := _is_object(rest):
        lines.append(rest)
    for number, line in enumerate(lines, 1):
        good = min(good + len(line) + 1, len(data))
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            if fields["event"] == "session":
                if fields["version"] > VERSION:
                    raise StoreError(f"{path} was written by a newer relay-gguf. Upgrade it first.")
                header = SessionHeader(
                    _text(fields["model"]),
                    _text(fields["path"]),
                    _text(fields["vocabulary"]),
                    fields.get("piped") is True,
                )
            else:
                record = from_json(fields)
                transcript = transcript.apply(record)
                entries.append((record, header.vocabulary if header else ""))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise StoreError(
                f"{path} is damaged at line {number} ({error}). Remove that line and those after "
                "it to use the rest."
            ) from error
    if header is None:
        raise StoreError(
            f"{path} is not a session of relay-gguf: it does not begin with its header."
        )
    return SavedSession(header, tuple(entries), transcript, good, bool(rest.strip()) and not whole)


def _is_object(line: bytes) -> bool:
    """Whether a line is a JSON object to its end: no beginning of one is."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def to_json(record: Record) -> dict[str, Any]:
    """The fields of a record's line; those that have their default are left out."""
    match record:
        case Turned():
            optional = {
                "line": record.line,
                "fresh": record.fresh,
                "channel": record.channel,
                "awaits": record.awaits,
                "ids": list(record.ids),
            }
            return {
                "event": "edit" if record.edits else "turn",
                **{key: value for key, value in optional.items() if value},
                "messages": [_message_json(message) for message in record.messages],
                "time": record.time,
            }
        case Answered():
            return {
                "event": record.how,
                **_message_json(record.message),
                "ids": list(record.ids),
                "time": record.time,
            }
        case Chose(index):
            return {"event": "choose", "index": index}
        case Undone():
            return {"event": "undo"}
        case Forgot(indices):
            return {"event": "trim", "messages": list(indices)}


def from_json(fields: Mapping[str, Any]) -> Record:
    """The record of a line.

    Raises:
        KeyError, TypeError, ValueError: the line is not one that `to_json` wrote.
    """
    match fields["event"]:
        case "turn" | "edit" as event:
            return Turned(
                line=str(fields.get("line", "")),
                messages=_messages(fields["messages"], needed=not fields.get("awaits")),
                time=_time(fields["time"]),
                fresh=bool(fields.get("fresh", False)),
                channel=str(fields.get("channel", "")),
                awaits=bool(fields.get("awaits", False)),
                edits=event == "edit",
                ids=_ids(fields.get("ids", ())),
            )
        case "reply" | "alternative" | "continue" as how:
            return Answered(how, _message(fields), _ids(fields["ids"]), _time(fields["time"]))
        case "choose":
            return Chose(int(fields["index"]))
        case "undo":
            return Undone()
        case "trim":
            return Forgot(_ids(fields["messages"]))
        case other:
            raise ValueError(f"unknown event {other!r}")


def _message_json(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"nick": message.nick, "content": message.content}
    if message.generated:
        fields["tokens"] = message.generated
    if message.cut:
        fields["cut"] = True
    return fields


def _message(fields: Mapping[str, Any]) -> Message:
    nick, content = _text(fields["nick"]), _text(fields["content"])
    return Message(nick, content, int(fields.get("tokens", 0)), bool(fields.get("cut", False)))


def _messages(values: Any, *, needed: bool) -> tuple[Message, ...]:
    messages = tuple(_message(value) for value in values)
    if needed and not messages:
        raise ValueError("a turn without a message")
    return messages


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _time(value: Any) -> float:
    """Unix seconds that a calendar can show."""
    if not 0 <= float(value) < LAST_TIME:
        raise ValueError(f"{value!r} is not a time")
    return float(value)


def _ids(values: Any) -> tuple[int, ...]:
    ids = tuple(values)
    if not all(isinstance(value, int) and value >= 0 for value in ids):
        raise TypeError("ids must be whole numbers")
    return ids


def header_json(header: SessionHeader) -> dict[str, Any]:
    """The fields of a header's line, with the time now."""
    return {
        "event": "session",
        "version": VERSION,
        "model": header.model,
        "path": header.path,
        "vocabulary": header.vocabulary,
        **({"piped": True} if header.piped else {}),
        "time": time.time(),
    }


def encode(fields: Mapping[str, Any]) -> bytes:
    """A line of a session file, in UTF-8."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
