"""What was said in a channel, line by line, as it is shown to those who come later.

A JSON line for each message: its Unix time, nick, address, text, kind, msgid, and which of the
replies to the same words it is. Where the scene
was begun anew stands a line `{"scene": "anew"}`: what is above it is kept, and not shown again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from relay_gguf.irc.network.hooks import StoredMessage
from relay_gguf.irc.protocol.names import fold

from .scene import session_name

_BLOCK: Final = 1 << 16
_log = logging.getLogger(__name__)


class Playback:
    """The lines of channels, in a file each, which is open for as long as a line is written."""

    def __init__(self, scenes: Path | None) -> None:
        """The lines beside a folder of `scenes`, in `irc-channels` beside `irc`.

        No file or folder is made before the first line; None keeps nothing.
        """
        self._folder = None if scenes is None else scenes.with_name(f"{scenes.name}-channels")
        self._broken = False

    def add(self, channel: str, message: StoredMessage) -> None:
        """A message was sent in a channel."""
        record = asdict(message)
        if not message.reply:  # lines without one are as they always were
            del record["reply"]
        self._write(channel, record)

    def begin_anew(self, channel: str) -> None:
        """The scene of a channel begins anew: what was said so far is not shown any more."""
        path = self._path(channel)
        if path is not None and path.exists():
            self._write(channel, {"scene": "anew"})

    def last(
        self, channel: str, limit: int, older: Callable[[int], Sequence[StoredMessage]]
    ) -> Sequence[StoredMessage]:
        """The last messages of a channel's scene, `limit` at most, oldest first.

        Args:
            channel: its name.
            limit: how many.
            older: asked for that many, if the scene may have begun before its lines were kept.
        """
        path, found = self._path(channel), list[StoredMessage]()
        with suppress(OSError):
            for raw in _backwards(path) if path else ():
                if len(found) == limit:
                    break
                with suppress(ValueError, TypeError):  # cut off while being written
                    record = json.loads(raw)
                    if "scene" in record:
                        return found[::-1]
                    found.append(StoredMessage(**record))
        said, more = found[::-1], limit - len(found)
        before = older(more) if more else ()
        return [*(old for old in before if not said or old.time < said[0].time), *said]

    def _path(self, channel: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / f"{session_name(fold(channel))}.jsonl"

    def _write(self, channel: str, record: dict[str, object]) -> None:
        path = self._path(channel)
        if path is None:
            return
        data = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(file, "ab", buffering=0) as out:
                out.write(data)
        except OSError as error:
            if not self._broken:
                _log.warning("cannot keep what is said in %s: %s", channel, error.strerror)
            self._broken = True
        else:
            self._broken = False


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first, read in blocks from its end."""
    with path.open("rb") as file:
        end, rest = file.seek(0, os.SEEK_END), b""
        while end:
            begin = max(end - _BLOCK, 0)
            file.seek(begin)
            first, *lines = (file.read(end - begin) + rest).split(b"\n")
            yield from filter(None, reversed(lines))
            end, rest = begin, first
        if rest:
            yield rest
