"""The session files of a folder: their names, their titles, opening and removing one.

Sessions are named by the time, so that names alone find none again. A title is read without
replaying the session: the lists stay quick where there are hundreds of long ones.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from relay_gguf.disk import lock
from relay_gguf.errors import StoreError

from .commands import Call, parse
from .messages import DEFAULT_CHANNEL

ENDING: Final = ".jsonl"
STAMP: Final = "%Y%m%d-%H%M%S"
"""The time as the name of a session that nobody has named."""
MAX_NAME_BYTES: Final = 200  # file systems take 255, the ending included
FIRST_LINE: Final = 40
"""Characters of a first line in a list."""
UNITS: Final = (("min", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("y", 365 * 86_400))
"""Units of an age and their seconds."""


def check_readable(folder: Path) -> None:
    """Refuse a folder that is there and cannot be read, whose sessions are not listed.

    Raises:
        StoreError: it is such a folder.
    """
    try:
        next(folder.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"Cannot read {folder}: {error.strerror}.") from error


def sessions(folder: Path) -> list[Path]:
    """The session files of a folder, the newest first; none if it cannot be read."""
    found = []
    with suppress(OSError):  # no folder yet, or one that cannot be read
        for path in folder.iterdir():
            with suppress(OSError):  # gone in the meantime
                if path.suffix == ENDING and path.is_file():
                    found.append((path.stat().st_mtime, path.name, path))
    return [path for _, _, path in sorted(found, reverse=True)]


def session_path(folder: Path, name: str) -> Path:
    """The path of a session's file, whether there is one or not.

    A file of any other name is one too where it is there, such as `tale (1)` of a copy.

    Raises:
        StoreError: a session cannot have this name.
    """
    if not _is_name(name) and not _is_there(folder, name):
        raise StoreError(
            f"{name!r} is not a session name. Use up to 80 letters, digits, spaces and . + # - _ "
            "and begin with a letter or digit."
        )
    return folder / f"{name}{ENDING}"


def _is_name(name: str) -> bool:
    named = re.fullmatch(r"\w[\w .+#-]{0,79}", name) and name == name.strip(" .")
    return bool(named) and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES


def _is_there(folder: Path, name: str) -> bool:
    """Whether a folder itself has a session file of a name that we would not give."""
    if not name or re.search(r"[/\\:\0]", name):
        return False
    with suppress(OSError):  # a name that is too long
        return (folder / f"{name}{ENDING}").is_file()
    return False


def is_stamp(name: str) -> bool:
    """Whether a session's name is the time at which it was begun: nobody named it."""
    return re.fullmatch(r"\d{8}-\d{6}(-\d+)?", name) is not None


def without_number(name: str) -> str:
    """A name without the number that tells it from others; empty if it can have no number."""
    if not _is_name(name) or len(name) > 70 or len(name.encode()) > MAX_NAME_BYTES - 10:
        return ""
    stamp = re.fullmatch(r"(\d{8}-\d{6})(-\d+)?", name)
    return stamp[1] if stamp else re.sub(r"(?<=[^-])-\d{1,2}$", "", name)


def remove(folder: Path, name: str) -> None:
    """Remove a session's file.

    Raises:
        StoreError: there is no such session, a process has it open, or it cannot be removed.
    """
    path = session_path(folder, name)
    open_locked(path, "r+b").close()  # Windows removes no open file
    try:
        path.unlink()
    except OSError as error:
        raise StoreError(f"Cannot remove {path}: {error.strerror}.") from error


def open_locked(path: Path, mode: str) -> BinaryIO:
    """Open a session file for this process alone, `r+b` an old one, `x+b` a new one.

    Raises:
        StoreError: there is no such session, it cannot be opened, or another process has it.
        OSError: a new file cannot be made.
    """
    try:
        # Buffered writing would keep half a record back when the disk is full.
        file = os.fdopen(os.open(path, _FLAGS[mode], 0o600), "r+b", buffering=0)
    except FileNotFoundError:
        if mode == "x+b":
            raise
        raise StoreError(f"There is no session {path.stem!r}. /load lists them.") from None
    except OSError as error:
        if mode == "x+b":
            raise
        raise StoreError(f"Cannot open {path}: {error.strerror}.") from error
    if not lock(file):
        file.close()
        raise StoreError(
            f"The session {path.stem!r} is open in another relay-gguf. Leave that one first."
        )
    return file


_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = {
    "r+b": os.O_RDWR | _BINARY,
    "x+b": os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY,
}


# Titles


@dataclass(frozen=True, slots=True)
class Title:
    """A saved session in short.

    `channel` is where it plays now, without its #. `first_line` is the first thing that the human
    said. `changed` is the file's Unix time. `piped` says that a script wrote it. Of a file that
    cannot be read, `fault` says why, and the rest is empty.
    """

    name: str
    changed: float
    channel: str = DEFAULT_CHANNEL
    first_line: str = ""
    n_messages: int = 0
    n_scenes: int = 0
    piped: bool = False
    fault: str = ""


def titles(folder: Path) -> Iterator[Title]:
    """The titles of a folder's sessions, the newest first; each file is read when it is asked."""
    for path in sessions(folder):
        try:
            yield read_title(path)
        except FileNotFoundError:  # gone in the meantime
            continue


def read_title(path: Path) -> Title:
    """The title of a session file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    changed = path.stat().st_mtime
    try:
        return _title(path.stem, changed, path.read_bytes().split(b"\n")[:-1])
    except FileNotFoundError:
        raise
    except OSError as error:
        return Title(path.stem, changed, fault=error.strerror or str(error))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Title(path.stem, changed, fault="damaged")


@dataclass(slots=True)
class _Turn:
    line: str
    n_messages: int
    channel: str


def _title(name: str, changed: float, lines: Iterable[bytes]) -> Title:
    turns: list[_Turn] = []
    piped = False
    for line in filter(bytes.strip, lines):
        fields: dict[str, Any] = json.loads(line)
        match fields["event"]:
            case "session":
                piped = fields.get("piped") is True
            case "undo":
                turns.pop()
            case "edit" | "turn" as event:
                if event == "edit":
                    turns.pop()
                begun = str(fields["channel"]) if fields.get("fresh") else ""
                typed = str(fields.get("line", ""))
                turns.append(_Turn(typed, len(fields["messages"]), begun))
            case "reply":
                turns[-1].n_messages += 1
    said = [turn.line for turn in turns if turn.line]
    scenes = [turn.channel for turn in turns if turn.channel]
    talk = (line for line in said if not isinstance(parse(line), Call))
    return Title(
        name,
        changed,
        scenes[-1] if scenes else DEFAULT_CHANNEL,
        " ".join(next(talk, said[0] if said else "").split()),
        sum(turn.n_messages for turn in turns),
        len(scenes),
        piped,
    )


def age(seconds: float) -> str:
    """How long ago something was: `5 min`, `3 h`, `2 w`."""
    told = "now"
    for unit, size in UNITS:
        if seconds >= size:
            told = f"{int(seconds // size)} {unit}"
    return told


def title_rows(found: Sequence[Title], now: float, here: str | None = None) -> list[str]:
    """Sessions as rows of a numbered list.

    Args:
        found: in the order of their numbers.
        now: Unix time, for their ages.
        here: the name of the one that is open.
    """
    rows = [
        (
            str(number),
            title.name,
            f"#{title.channel}",
            age(now - title.changed),
            title.fault or f"{title.n_messages} message{'s' * (title.n_messages != 1)}",
            f"{_short(title.first_line)}{_mark(title, here)}",
        )
        for number, title in enumerate(found, 1)
    ]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{number:>{widths[0]}}  {name:{widths[1]}}  {channel:{widths[2]}}  {old:>{widths[3]}}  "
        f"{count:>{widths[4]}}  {line}".rstrip()
        for number, name, channel, old, count, line in rows
    ]


def _mark(title: Title, here: str | None) -> str:
    return " (this one)" if title.name == here else " (from a pipe)" if title.piped else ""


def _short(text: str) -> str:
    return text if len(text) <= FIRST_LINE else f"{text[: FIRST_LINE - 1].rstrip()}…"


def named(wanted: str, names: Sequence[str], lists: str = "/load lists them") -> str:
    """The session that a word means: its name, its number in a list, or how its name begins.

    Args:
        wanted: what was typed.
        names: of all sessions, in the order of their numbers. A name goes before a number.
        lists: where to see them, for the error.

    Raises:
        StoreError: no session is meant, or several are.
    """
    if wanted in names:
        return wanted
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) <= len(names):
        return names[int(wanted) - 1]
    meant = [name for name in names if name.startswith(wanted)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        some = ", ".join(meant[:4]) + (", ..." if len(meant) > 4 else "")
        raise StoreError(f"{wanted!r} is the beginning of {len(meant)} sessions: {some}. Say more.")
    raise StoreError(f"There is no session {wanted!r}. {lists}.")
