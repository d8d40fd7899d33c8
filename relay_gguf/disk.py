"""Files on the disk: written whole or not at all, and locked for one process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PARTIAL: Final = ".relay-gguf-partial"
"""Ends the name of a file that is being written: no app lists such files."""
EARLIER_PARTIAL: Final = ".partial"
"""The ending that the converter gave such files in releases before: their runs can be resumed."""
CHUNK: Final = 1 << 22
"""Bytes that are read at once."""


def partial(path: Path) -> Path:
    """The path of a file while it is written."""
    return path.with_name(path.name + PARTIAL)


def write_whole(path: Path, data: bytes) -> None:
    """Replace a small file by new content: all of it, or the old file stays.

    Raises:
        OSError: it cannot be written.
    """
    try:
        write_new(partial(path), data)
        partial(path).replace(path)
    except BaseException:
        with suppress(OSError):
            partial(path).unlink()
        raise
    sync_folder(path.parent)


def write_new(path: Path, source: Path | bytes) -> None:
    """Write a new file from bytes or as a copy, down to the disk; a copy keeps its time.

    Raises:
        OSError: it cannot be written; the part that was written stays.
    """
    path.unlink(missing_ok=True)  # never written into: it may be a hard link to something
    try:
        with path.open("xb") as file:
            if isinstance(source, bytes):
                file.write(source)
                file.flush()
            else:
                with source.open("rb") as original:
                    shutil.copyfileobj(original, file, CHUNK)
                    found = os.fstat(original.fileno())
                file.flush()
                with suppress(OSError):  # not every file system has times to set
                    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which
        raise


def kept_values(path: Path) -> dict[str, Any]:
    """The values of a small JSON file, by key, the oldest first.

    Raises:
        OSError, ValueError, TypeError: there is no such file, or it is not one of these.
    """
    table = json.loads(path.read_text("utf-8"))
    if not isinstance(table, dict):
        raise TypeError(path)
    return table


def keep_value(path: Path, key: str, value: object, most: int) -> None:
    """Keep a value beside the newest others, `most` in all; what cannot be written is ignored."""
    table: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):
        table = kept_values(path)
    table.pop(key, None)
    table = dict([*table.items(), (key, value)][-most:])
    with suppress(OSError):
        make_folders(path.parent)
        write_whole(path, json.dumps(table).encode())


def digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    running = sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            running.update(chunk)
    return running.hexdigest()


def free_space(path: Path) -> int:
    """Free bytes on the disk where `path` is, or will be made.

    Raises:
        OSError: the system does not tell.
    """
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    return shutil.disk_usage(there).free


def link(source: Path, target: Path) -> bool:
    """Make a hard link; False if there can be none, as to another file system."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and its missing parents; returns the new folders, the innermost first."""
    new = [path for path in [folder, *folder.parents] if not path.exists()]
    for path in reversed(new):
        path.mkdir(exist_ok=True)  # another process may make it at the same moment
    return new


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders as far as they are empty; give them with the innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, so that a rename survives a power cut; POSIX only."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def append(file: BinaryIO, data: bytes) -> None:
    """Write all of `data` at the end, on the disk, or leave the file as it was.

    Args:
        file: unbuffered, or half of the data would be kept back when the disk is full; at its end.
        data: what to write.

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


def cut_torn_line(file: BinaryIO) -> None:
    """Cut a file behind its last line break, and go there: a kill may have torn the last line."""
    good = 0
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - (1 << 16))
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            good = start + found + 1
            break
        end = start
    file.truncate(good)
    file.seek(good)


def lock(file: BinaryIO) -> bool:
    """Lock an open file for this process until it is closed; False if another process has it.

    On a file system without locks the file counts as free: better no lock than no file.
    """
    try:
        _lock(file)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:
        """Lock a byte far behind the end, so that the file itself stays readable."""
        file.seek(1 << 62)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
