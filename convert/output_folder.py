"""The output folder of a conversion: whether it can be written, and has room; errors in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay_gguf.disk import free_space
from relay_gguf.errors import ConversionError


class RoomError(ConversionError):
    """The disk has not enough room; the files that are done already stay."""


def check_folder(out: Path) -> None:
    """Refuse a path that is not a folder and cannot become one, or that cannot be written.

    Raises:
        ConversionError: it is such a path.
    """
    there = next(found for found in (out, *out.parents) if os.path.lexists(found))
    if not there.is_dir():
        which = "it" if there == out else there
        raise ConversionError(f"Cannot write {out}: {which} is not a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConversionError(f"Cannot write {out}: {os.strerror(errno.EACCES)}.")


def check_room(out: Path, size: int, discarded: int = 0) -> None:
    """Refuse files that do not fit on the disk.

    Args:
        out: the folder.
        size: bytes that will be written.
        discarded: bytes that will be removed before.

    Raises:
        RoomError: there is less room.
    """
    free = free_space(out) + discarded
    if size > free:
        raise RoomError(
            f"The files take {size:,} bytes, {out} has {free:,} free: "
            f"{size - free:,} are lacking. Give another --out, or fewer types."
        )


@contextmanager
def readable_errors(out: Path) -> Iterator[None]:
    """Turn the system's error on writing into one that says where, and what to do.

    Raises:
        ConversionError: a file cannot be written, or the disk is full.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or out
        if error.errno == errno.ENOSPC:
            raise ConversionError(
                f"The disk of {out} is full. Make room, and convert again."
            ) from error
        raise ConversionError(f"Cannot write {where}: {error.strerror or error}.") from error
