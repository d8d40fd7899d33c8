"""Sessions on disk: a file each, a JSON line a record, flushed at once.

    {"event": "session", "version": 1, "model": …, "path": …, "vocabulary": …, "time": …}
    {"event": "turn", "line": "/slap", "messages": [{"nick": …, "content": …}, …], "time": …}
    {"event": "reply", "nick": …, "content": …, "ids": […], "tokens": 12, "time": …}
    {"event": "alternative" | "continue", …}   {"event": "choose", "index": 0}
    {"event": "undo"}   {"event": "edit", …}   {"event": "trim", "messages": [3, 4]}

A file is only ever appended to, by one process at a time. A last line without its newline was
being written when the program was killed: it is dropped.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from .errors import StoreError
from .messages import Message
from .transcript import Answered, Chose, Forgot, Record, Transcript, Turned, Undone

VERSION = 1
ENDING = ".jsonl"


@dataclass(frozen=True, slots=True)
class Header:
    """Which model wrote the records that follow; `vocabulary` tells if their ids mean the same."""

    model: str
    path: str
    vocabulary: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What a session file holds. `good` is the length in bytes of what could be read."""

    header: Header
    entries: tuple[tuple[Record, str], ...]
    good: int
    torn: bool

    @property
    def transcript(self) -> Transcript:
        """The conversation, replayed."""
        transcript = Transcript()
        for record, _ in self.entries:
            transcript = transcript.apply(record)
        return transcript


class Store:
    """The session file being written, locked against other processes.

    The file is made with its first record, so that a chat in which nothing is said leaves none.
    """

    def __init__(self, folder: Path, header: Header, name: str | None = None) -> None:
        """A new session, named after the time; or the saved one called `name`, to append to.

        Raises:
            StoreError: there is no such session, or another process has it.
        """
        self.folder = folder
        self.header = header
        self.name = name
        self._file: BinaryIO | None = None
        self._unsaved = b""
        if name is not None:
            self._file = _open_locked(session_path(folder, name), "r+b")

    def resume(self) -> Saved:
        """What the session holds; from here on it is appended to.

        Raises:
            StoreError: it is damaged before its last line.
        """
        if self._file is None or self.name is None:
            raise StoreError("A new session has nothing to resume.")
        self._file.seek(0)
        saved = decode(self._file.read(), session_path(self.folder, self.name))
        self._file.truncate(saved.good)
        self._file.seek(saved.good)
        if saved.header != self.header:
            self._unsaved = _line(_header_json(self.header))
        return saved

    def append(self, record: Record) -> None:
        """Write a record, and all that could not be written before it.

        Raises:
            StoreError: it cannot be written now; it is kept for the next call.
        """
        self._unsaved += _line(to_json(record))
        try:
            if self._file is None:
                self._begin()
            self._flush()
        except OSError as error:
            raise StoreError(
                f"Cannot save this session in {self.folder}: {error.strerror}. "
                "The chat goes on, and saves again as soon as that works."
            ) from error

    def rename(self, name: str) -> None:
        """Give the session a name; one that has a name goes on under the new one as a copy.

        Raises:
            StoreError: the name is taken or no file name, or the disk is full.
        """
        target = session_path(self.folder, name)
        if name == self.name:
            return
        if target.exists():
            raise StoreError(f"There is a session {name!r} already. Choose another name.")
        try:
            if self._file is None:
                self._begin(name)
            elif self.name is not None and _is_stamp(self.name):
                self._file.close()  # Windows renames no open file
                session_path(self.folder, self.name).rename(target)
                self._file = _open_locked(target, "r+b")
                self._file.seek(0, os.SEEK_END)
            else:
                self._file.seek(0)
                written = self._file.read()
                copy = _open_locked(target, "x+b")
                try:
                    _write(copy, written)
                except OSError:
                    copy.close()
                    target.unlink()
                    raise
                self._file.close()
                self._file = copy
            self.name = name
            self._flush()
        except OSError as error:
            raise StoreError(f"Cannot save {name!r}: {error.strerror}.") from error

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, name: str | None = None) -> None:
        """Make the file, under a free name if none is given."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for number in count(1):
            free = name or (stamp if number == 1 else f"{stamp}-{number}")
            try:
                self._file = _open_locked(session_path(self.folder, free), "x+b")
            except FileExistsError:
                if name:
                    raise
                continue
            self.name = free
            self._unsaved = _line(_header_json(self.header)) + self._unsaved
            return

    def _flush(self) -> None:
        """Write what is unsaved, whole or not at all: half a line would spoil what follows."""
        if self._file is not None and self._unsaved:
            _write(self._file, self._unsaved)
            self._unsaved = b""


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of `data` to the disk, or leave the file as it was.

    Raises:
        OSError: the disk is full or gone.
    """
    good = file.tell()
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]  # a nearly full disk takes a part
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.seek(good)
            file.truncate()
        raise


def sessions(folder: Path) -> list[Path]:
    """The saved sessions, newest first."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix == ENDING and path.is_file()]
    return sorted(files, key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def session_path(folder: Path, name: str) -> Path:
    """The file of a session.

    Raises:
        StoreError: the name is no file name.
    """
    if not re.fullmatch(r"\w[\w .+#-]{0,79}", name) or name != name.strip(" ."):
        raise StoreError(
            f"{name!r} is no session name: letters, digits, spaces and . + # - _ are, up to 80."
        )
    return folder / f"{name}{ENDING}"


def peek(path: Path) -> Header:
    """The newest header of a session file.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return decode(path.read_bytes(), path).header
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error


def decode(data: bytes, path: Path) -> Saved:
    """The records of a session file; `path` is for messages.

    Raises:
        StoreError: a line other than the last is no record.
    """
    header: Header | None = None
    entries: list[tuple[Record, str]] = []
    good = 0
    transcript = Transcript()
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            fields = json.loads(line)
            if fields["event"] == "session":
                if fields["version"] > VERSION:
                    raise StoreError(f"{path} was written by a newer relay-gguf. Upgrade.")
                header = Header(fields["model"], fields["path"], fields["vocabulary"])
            else:
                record = from_json(fields)
                transcript = transcript.apply(record)
                entries.append((record, header.vocabulary if header else ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} is damaged at line {number} ({error}). Remove that line and those after "
                "it to use the rest."
            ) from error
        good += len(line)
    if header is None:
        raise StoreError(f"{path} is no session of relay-gguf: it does not begin with its header.")
    return Saved(header, tuple(entries), good, torn=good < len(data))


def to_json(record: Record) -> dict[str, Any]:
    """A record as the fields of its line; what has its usual value is left out."""
    match record:
        case Turned():
            fields = {
                "event": "edit" if record.edits else "turn",
                "line": record.line,
                "messages": [_message_json(message) for message in record.messages],
                "fresh": record.fresh,
                "channel": record.channel,
                "awaits": record.awaits,
                "ids": list(record.ids),
                "time": record.time,
            }
            return {key: value for key, value in fields.items() if value not in (False, "", [])}
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
                messages=tuple(_message(message) for message in fields["messages"]),
                time=float(fields["time"]),
                fresh=bool(fields.get("fresh", False)),
                channel=str(fields.get("channel", "")),
                awaits=bool(fields.get("awaits", False)),
                edits=event == "edit",
                ids=_ids(fields.get("ids", ())),
            )
        case "reply" | "alternative" | "continue" as how:
            return Answered(how, _message(fields), _ids(fields["ids"]), float(fields["time"]))
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
    nick, content = fields["nick"], fields["content"]
    if not isinstance(nick, str) or not isinstance(content, str):
        raise TypeError("nick and content must be text")
    return Message(nick, content, int(fields.get("tokens", 0)), bool(fields.get("cut", False)))


def _ids(values: Any) -> tuple[int, ...]:
    ids = tuple(values)
    if not all(isinstance(value, int) and value >= 0 for value in ids):
        raise TypeError("ids must be whole numbers")
    return ids


def _header_json(header: Header) -> dict[str, Any]:
    return {
        "event": "session",
        "version": VERSION,
        "model": header.model,
        "path": header.path,
        "vocabulary": header.vocabulary,
        "time": time.time(),
    }


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"


def _is_stamp(name: str) -> bool:
    return re.fullmatch(r"\d{8}-\d{6}(-\d+)?", name) is not None


def _open_locked(path: Path, mode: str) -> BinaryIO:
    """Open a session file for this process alone."""
    try:
        # Buffered writing would keep half a record back when the disk is full.
        file = os.fdopen(os.open(path, _FLAGS[mode], 0o600), "r+b", buffering=0)
    except FileNotFoundError:
        raise StoreError(f"There is no session {path.stem!r}. /load lists them.") from None
    try:
        _lock(file)
    except OSError:
        file.close()
        raise StoreError(
            f"The session {path.stem!r} is open in another relay-gguf. Leave that one first."
        ) from None
    return file


_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = {
    "r+b": os.O_RDWR | _BINARY,
    "x+b": os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY,
}

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        """Lock a byte far behind the end, so that the file itself stays readable."""
        file.seek(1 << 62)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def iter_names(folder: Path) -> Iterator[str]:
    """The names of the saved sessions, newest first."""
    for path in sessions(folder):
        yield path.stem
