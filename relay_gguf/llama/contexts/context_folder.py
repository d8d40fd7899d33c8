"""A folder of context files: which one a prompt goes on from, and which ones are worth their disk.

A context of 4096 tokens takes 655 MB with a 12B model. On a CPU reading that text again takes
minutes, on a large GPU a second: so a file is written only if that is quicker than reading again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from relay_gguf.disk import PARTIAL, free_space

from .context_file import ContextHead, read_context, read_head, write_context
from .snapshots import Snapshot, common_prefix

log = logging.getLogger("relay_gguf.llama")

ENDING: Final = ".context"
ROOM: Final = 4 << 30
"""Bytes of all files together."""
SPARE: Final = 2 << 30
"""Bytes of a disk that stay free."""
PATIENCE: Final = 10.0
"""Seconds of writing at most: the user has left, or types the next line."""
WORTH_KEEPING: Final = 128
"""Tokens of a conversation below which evaluating them again is as quick as a copy."""
WORTH_SECONDS: Final = 0.5
"""Seconds of reading that nobody minds."""
TRIAL: Final = 16 << 20
"""Bytes that are written before the disk's speed is known."""
STALE: Final = 3600.0
"""Seconds after which nobody writes an unfinished file any more."""


@dataclass(frozen=True, slots=True)
class ContextFolder:
    """The context files of one model, build and layout in a folder that others share.

    Attributes:
        folder: made when the first file is written.
        identity: 32 bytes; files with another are passed over.
        room: bytes of all files together, those of other models too; the oldest go first.
        clock: seconds, for the disk's speed.
    """

    folder: Path
    identity: bytes
    room: int = ROOM
    clock: Callable[[], float] = time.monotonic

    def find(self, prompt: Sequence[int], over: int, most: int) -> Snapshot | None:
        """The snapshot with the longest common prefix with `prompt`.

        Args:
            prompt: token ids.
            over: tokens that the prefix must have more than.
            most: tokens that the cache can hold.

        Returns:
            None if there is no such file, or the best one is damaged: it is removed then.
        """
        if len(prompt) <= over:
            return None
        best, path = over, None
        for file, head in self._mine():
            shared = common_prefix(head.ids, prompt)
            if shared > best and len(head.ids) <= most:
                best, path = shared, file
        if path is None:
            return None
        try:
            found = read_context(path, self.identity)
            if found is None:
                log.info("%s is damaged, and is removed.", path)
                path.unlink()
            else:
                os.utime(path)
        except (OSError, MemoryError) as error:
            log.info("%s cannot be used: %s", path, error)
            return None
        return found

    def worth(self, seconds: float) -> bool:
        """Whether a text is kept that takes so many seconds to read."""
        return seconds >= WORTH_SECONDS

    def keep_all(
        self,
        conversations: Iterable[tuple[Sequence[int], Callable[[], Snapshot | None]]],
        rate: float,
        wanted: Callable[[], bool],
    ) -> int:
        """Write conversations where that pays, as far as `PATIENCE` reaches for all.

        Args:
            conversations: the token ids of each and what copies its cache, in the order of their
                last use. A copy is made only of what has no file yet.
            rate: tokens a second that the model reads; 0 is unknown, and nothing is written.
            wanted: asked now and then; False gives up.

        Returns:
            The number of conversations that have a file now.
        """
        count, limit = 0, time.monotonic() + PATIENCE

        def goes_on() -> bool:
            return wanted() and time.monotonic() < limit

        for ids, copy in conversations if rate else ():
            seconds = len(ids) / rate
            if len(ids) < WORTH_KEEPING or not self.worth(seconds) or not goes_on():
                continue
            if self._is_kept(ids):
                count += 1
            elif (snapshot := copy()) is not None:
                count += self.keep(snapshot, seconds, goes_on)
        return count

    def keep(self, snapshot: Snapshot, seconds: float, wanted: Callable[[], bool]) -> bool:
        """Write a snapshot, unless the disk is slower than the model; make room for it before.

        Args:
            snapshot: of the cache.
            seconds: that reading its text again would take.
            wanted: asked now and then; False gives up.

        Returns:
            Whether there is a file of it now.
        """
        if self._is_kept(snapshot.ids):
            return True
        began = self.clock()

        def goes_on(done: int) -> bool:
            taken = self.clock() - began
            ahead = taken / done * snapshot.n_bytes if done >= TRIAL else taken
            return wanted() and ahead <= min(seconds, PATIENCE)

        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(snapshot)
            if free_space(self.folder) < snapshot.n_bytes + SPARE:
                log.info("There is no room for a context of %d bytes.", snapshot.n_bytes)
                return False
            return write_context(self._path(snapshot.ids), self.identity, snapshot, goes_on)
        except OSError as error:
            log.info("The context cannot be kept: %s", error)
            return False

    def _path(self, ids: Sequence[int]) -> Path:
        name = sha256(self.identity + str(tuple(ids)).encode()).hexdigest()[:32]
        return self.folder / f"{name}{ENDING}"

    def _is_kept(self, ids: Sequence[int]) -> bool:
        """Whether there is a file of a conversation; it counts as used now."""
        try:
            os.utime(self._path(ids))
        except OSError:
            return False
        return True

    def _make_room(self, snapshot: Snapshot) -> None:
        """Remove prefixes of a snapshot, what was left unfinished, and the oldest files."""
        for path, head in self._mine():
            if head.ids == snapshot.ids[: len(head.ids)]:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            for path in self.folder.glob(f"*{PARTIAL}"):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
        found = sorted((path.stat().st_mtime, path) for path in context_files(self.folder))
        total = sum(path.stat().st_size for _, path in found)
        for _, path in found:
            if total + snapshot.n_bytes <= self.room:
                break
            total -= path.stat().st_size
            path.unlink()

    def _mine(self) -> Iterator[tuple[Path, ContextHead]]:
        for path in context_files(self.folder):
            with suppress(OSError):
                head = read_head(path)
                if head is not None and head.identity == self.identity:
                    yield path, head


def context_files(folder: Path) -> list[Path]:
    """The context files of a folder; none if it cannot be read."""
    try:
        return [path for path in folder.iterdir() if path.suffix == ENDING and path.is_file()]
    except OSError:
        return []


def remove_contexts(folder: Path) -> None:
    """Remove all context files of a folder: their token ids are a conversation's text."""
    for path in context_files(folder):
        with suppress(OSError):
            path.unlink()
