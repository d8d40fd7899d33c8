"""Which client wrote a log, and the lines of a log of any client.

A file is recognized by its first lines: each reader gets them, and the reader that knows most of
them is asked first from there on. A line that it does not know is given to the others, since people
change clients and go on in the same file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from relay_gguf.errors import ConversionError, SettingsError

from . import energymech, hexchat, irssi, weechat
from .clock import Clock
from .codes import plain
from .decode import lines_of
from .log_line import OTHER, LineKind, LogEvent, LogLine

Reader = Callable[[str, str, Clock], LogEvent | None]

READERS: Final[dict[str, Reader]] = {
    irssi.NAME: irssi.read,
    weechat.NAME: weechat.read,
    hexchat.NAME: hexchat.read,
    energymech.NAME: energymech.read,
}
FIRST: Final = 400
"""Lines by which a file is recognized."""

_CHANNEL: Final = re.compile(r"#[^\s,/\\]*")
_ENDING: Final = re.compile(
    r"\.gz$|\.(?:log|weechatlog|txt)(?=\.gz$|$)|[._-](?:19|20)\d\d-?\d\d-?\d\d(?=\.|$)"
)


class UnknownLine(NamedTuple):
    """A line that no reader knows, as it is in the file; empty if it is too long."""

    number: int
    raw: str


@dataclass(frozen=True, slots=True)
class Log:
    """A log file: its format, the channel or person that it is named after, its lines."""

    path: Path
    format: str
    target: str
    lines: Iterator[LogLine | UnknownLine]


def open_log(path: Path, name: str | None = None) -> Log:
    """Open a log and recognize its format; the lines are read as they are asked for.

    Args:
        path: of the file.
        name: of the format, a key of `READERS`; None recognizes it.

    Raises:
        ConversionError: the file cannot be read, or no reader knows its format.
        SettingsError: there is no format of that name.
    """
    if name is not None and name not in READERS:
        raise SettingsError(f"--format is {name!r}; it may be {', '.join(READERS)}.")
    lines = lines_of(path)
    first = list(islice(lines, FIRST))
    found = name or _recognized(first)
    if not first:
        raise ConversionError("it is empty")
    if found is None:
        raise ConversionError(f"it is not a log of {', '.join(READERS)}")
    order = [READERS[found]]
    if name is None:
        order += [reader for known, reader in READERS.items() if known != found]
    return Log(path, found, target_of(path), _read(chain(first, lines), order, path.name))


def target_of(path: Path) -> str:
    """The channel or person that a log is named after.

    irssi: `#boats.log`; WeeChat: `irc.libera.#boats.weechatlog`; HexChat: `libera-#boats.log`; ZNC:
    `#boats/2023-11-15.log`; energymech: `#boats_20231115.log`.
    """
    name = path.name
    while (shorter := _ENDING.sub("", name)) != name:
        name = shorter
    for part in (name, path.parent.name):
        if match := _CHANNEL.search(part):
            return match[0]
    return path.parent.name if re.fullmatch(r"[\d-]*", name) else name.rpartition(".")[2]


def _read(
    lines: Iterator[str | None], order: list[Reader], name: str
) -> Iterator[LogLine | UnknownLine]:
    clock, first = Clock(name), order[0]
    for number, raw in enumerate(lines, start=1):
        if raw is None:
            yield UnknownLine(number, "")
            continue
        text = plain(raw)
        time, sep, body = clock.read(text)
        event = first(body, sep, clock)
        if event is None:
            event = _by_others(body, sep, clock, order) if text.strip() else OTHER
        if event is None:
            yield UnknownLine(number, raw)
        else:
            yield LogLine(event[0], event[1], event[2], event[3], time)


def _by_others(body: str, sep: str, clock: Clock, order: list[Reader]) -> LogEvent | None:
    for reader in order[1:]:
        if (event := reader(body, sep, clock)) is not None:
            return event
    return None


def _recognized(lines: list[str | None]) -> str | None:
    """The format that knows most lines; None if none knows any.

    A line that is known by its kind counts twice.
    """
    scores: dict[str, int] = {}
    for name, reader in READERS.items():
        clock, scores[name] = Clock(), 0
        for raw in lines:
            _, sep, body = clock.read(plain(raw or ""))
            event = reader(body, sep, clock) if body else None
            if event is not None:
                scores[name] += 1 if event.kind is LineKind.OTHER else 2
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else None
