"""Session files: a JSON line a record (see `records`), written at once.

A file is only ever appended to, by one process at a time. A last line without its newline was
being written when the program was killed: it is dropped. Whoever deletes, replaces or shortens a
file while a chat writes it loses nothing: the whole session is saved anew, in another file.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import BinaryIO

from relay_gguf.disk import append
from relay_gguf.errors import StoreError

from .records import SavedSession, SessionHeader, decode, encode, header_json, to_json
from .session_files import ENDING, STAMP, is_stamp, open_locked, session_path, without_number
from .transcript import Record, Turned


class Store:
    """A session file that is being written, locked against other processes.

    The file is made with its first record, so that a chat in which nothing is said leaves none.
    """

    def __init__(
        self,
        folder: Path,
        header: SessionHeader,
        name: str | None = None,
        *,
        new_name: str | None = None,
    ) -> None:
        """Open the saved session `name`, or begin a new one.

        Args:
            folder: of the session files; made with the first file.
            header: the model that will write.
            name: of a saved session; None begins a new one.
            new_name: of a new session, taken again if its file was deleted; None is the time at
                which its file is made.

        Raises:
            StoreError: there is no such session, or another process has it.
        """
        self.folder = folder
        self.header = header
        self.name = name
        self._file: BinaryIO | None = None
        self._content = bytearray()  # what the file holds, should it go away
        self._seen = (-1, -1)
        self._unsaved = b""
        self._wanted = False
        self._new_name = new_name
        if name is not None:
            self._file = open_locked(session_path(folder, name), "r+b")

    def resume(self) -> SavedSession:
        """Read the session; from here on it is appended to, an unfinished last line removed.

        Raises:
            StoreError: it is damaged before its last line, or cannot be read.
        """
        if self._file is None or self.name is None:
            raise StoreError("A new session has nothing to resume.")
        path = session_path(self.folder, self.name)
        try:
            self._file.seek(0)
            data = self._file.read()
            saved = decode(data, path)
            self._file.truncate(saved.good)
            self._file.seek(saved.good)
            self._content = bytearray(data[: saved.good])
            self._seen = _size_and_time(self._file)
        except OSError as error:
            raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
        self._wanted = True
        # A script's session that a person goes on with is a person's.
        self.header = replace(self.header, piped=self.header.piped and saved.header.piped)
        if not self._content.endswith(b"\n"):
            self._unsaved = b"\n"
        if saved.header != self.header:
            self._unsaved += encode(header_json(self.header))
        return saved

    def append(self, record: Record) -> str | None:
        """Write a record, and all that could not be written before it.

        Returns:
            The session's name so far, if its file was deleted, replaced or changed by another
            program: the session is then saved anew, with everything, under the name it has now.

        Raises:
            StoreError: it cannot be written now; it is kept for the next call.
        """
        self._unsaved += encode(to_json(record))
        # A scene that the program opened by itself is not worth a file.
        self._wanted = self._wanted or not isinstance(record, Turned) or bool(record.line)
        try:
            return self._flush()
        except OSError as error:
            raise StoreError(
                f"Cannot save this session in {self.folder}: {error.strerror}. "
                "The chat goes on, and saves again as soon as that works."
            ) from error

    def rename(self, name: str) -> None:
        """Go on under another name, in a copy of the file so far.

        The file so far is removed if it was named after the time alone.

        Raises:
            StoreError: the name is taken or cannot be a session's, or the disk is full. The
                session then stays as it was.
        """
        session_path(self.folder, name)
        if name == self.name:
            return
        self._wanted = True
        try:
            before = self.name if self._file is not None and self._is_there() else None
            self._begin(name)
        except FileExistsError:
            raise StoreError(f"There is a session {name!r} already. Choose another name.") from None
        except OSError as error:
            raise StoreError(f"Cannot save {name!r}: {error.strerror}.") from error
        if before is not None and is_stamp(before):
            with suppress(OSError):
                session_path(self.folder, before).unlink()

    def close(self) -> None:
        """Write what is not on the disk, if that works now, and release the file."""
        with suppress(OSError, StoreError):
            self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._wanted = False

    def _flush(self) -> str | None:
        """Write what is unsaved; returns the name of a file that went away, as `append` does."""
        if not self._wanted:
            return None
        if self._file is None:
            self._begin(self._new_name)
            return None
        if not self._is_there():
            lost = self.name
            self._begin(None, after=lost or "")
            return lost
        if self._unsaved:
            append(self._file, self._unsaved)
            self._wrote()
        return None

    def _is_there(self) -> bool:
        """Whether the file on the disk is the one that is open, as the last write left it.

        Raises:
            OSError: the system does not tell, as when a network drive is away.
        """
        if self._file is None or self.name is None:
            return False
        try:
            there = (self.folder / f"{self.name}{ENDING}").stat()  # its name may not be one of ours
        except (FileNotFoundError, NotADirectoryError):
            return False
        here = os.fstat(self._file.fileno())
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return False
        if _size_and_time(self._file) == self._seen:
            return True
        self._file.seek(0)  # touched, or written by another program?
        same = self._file.read() == self._content
        self._file.seek(len(self._content))
        return same

    def _begin(self, name: str | None, *, after: str = "") -> None:
        """Write all of the session into a new file, which takes the place of the one so far.

        Args:
            name: of the session; None is the time, or the first free one that follows.
            after: a name to follow instead of the time: `tale` is followed by `tale-2`.

        Raises:
            FileExistsError: there is a session `name`.
            OSError: it cannot be written; the session stays as it was.
        """
        content = bytes(self._content) or encode(header_json(self.header))
        base = without_number(after) or time.strftime(STAMP)
        for number in count(1 if after in ("", self._new_name) else 2):
            free = name or (base if number == 1 else f"{base}-{number}")
            try:
                file = self._create(free, content + self._unsaved)
            except FileExistsError:
                if name:
                    raise
                continue
            break
        if self._file is not None:
            self._file.close()
        self._file, self.name = file, free
        self._content = bytearray(content)
        self._wrote()

    def _wrote(self) -> None:
        """Remember that what was unsaved is in the file."""
        self._content += self._unsaved
        self._unsaved = b""
        if self._file is not None:
            self._seen = _size_and_time(self._file)

    def _create(self, name: str, content: bytes) -> BinaryIO:
        """Make a session file that holds `content`, whole or not at all.

        Raises:
            FileExistsError: there is one of this name.
            OSError: it cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = session_path(self.folder, name)
        file = open_locked(path, "x+b")
        try:
            append(file, content)
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return file


def _size_and_time(file: BinaryIO) -> tuple[int, int]:
    """The size of an open file in bytes, and when it was changed, in nanoseconds."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def read_session(path: Path) -> SavedSession:
    """What a session file holds; it may be open elsewhere.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
