"""The session files of a folder: their names, the list of them, opening and removing one."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from relay_gguf.disk import lock
from relay_gguf.errors import StoreError

ENDING: Final = ".jsonl"
STAMP: Final = "%Y%m%d-%H%M%S"
"""The time as the name of a session that nobody has named."""
MAX_NAME_BYTES: Final = 200  # file systems take 255, the ending included


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

    Raises:
        StoreError: a session cannot have this name.
    """
    named = re.fullmatch(r"\w[\w .+#-]{0,79}", name) and name == name.strip(" .")
    if not named or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise StoreError(
            f"{name!r} is not a session name. Use up to 80 letters, digits, spaces and . + # - _ "
            "and begin with a letter or digit."
        )
    return folder / f"{name}{ENDING}"


def is_stamp(name: str) -> bool:
    """Whether a session's name is the time at which it was begun: nobody named it."""
    return re.fullmatch(r"\d{8}-\d{6}(-\d+)?", name) is not None


def without_number(name: str) -> str:
    """A name without the number that tells it from others; empty if it has no room for one."""
    if len(name) > 70 or len(name.encode()) > MAX_NAME_BYTES - 10:
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
