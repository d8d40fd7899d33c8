"""The manifest of our files in another program's folders: a JSON file with sizes and times."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from relay_gguf import disk
from relay_gguf.errors import StoreError

VERSION: Final = 1


class InstallState(Enum):
    """Whether an installed file is as we left it."""

    SAME = "ok"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileMark:
    """The size in bytes and time of change by which we know a file of ours."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A file of ours; while it is being replaced, it has the marks of the old and the new one.

    The `n_folders` above it are removed with it, once they are empty.
    """

    path: Path
    marks: tuple[FileMark, ...]
    n_folders: int

    @property
    def state(self) -> InstallState:
        """Whether the file is as we left it, was changed, or is missing."""
        if not os.path.lexists(self.path):
            return InstallState.MISSING
        return (
            InstallState.SAME
            if set(marks_of(self.path)) & set(self.marks)
            else InstallState.CHANGED
        )


def read(manifest: Path) -> dict[Path, OwnedFile]:
    """Our files, by path.

    Raises:
        StoreError: the manifest cannot be read, is damaged, or is of a newer version.
    """
    try:
        saved = json.loads(manifest.read_text("utf-8"))
        if saved["version"] > VERSION:
            raise StoreError(f"{manifest} is of a newer relay-gguf. Update this one.")
        entries = [
            OwnedFile(
                Path(entry["path"]),
                tuple(FileMark(int(size), int(mtime)) for size, mtime in entry["marks"]),
                int(entry["n_folders"]),
            )
            for entry in saved["files"]
        ]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"Cannot read {manifest}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(
            f"{manifest} is damaged, so relay-gguf does not know its own files. Move it away, and "
            "remove the files that you do not want by hand."
        ) from error
    return {entry.path: entry for entry in entries}


def marks_of(path: Path) -> tuple[FileMark, ...]:
    """The mark of a file; empty for a folder or a symbolic link, which are never ours."""
    found = path.lstat()
    return (FileMark(found.st_size, found.st_mtime_ns),) if stat.S_ISREG(found.st_mode) else ()


def write(manifest: Path, owned: Mapping[Path, OwnedFile]) -> None:
    """Write the manifest.

    Raises:
        OSError: it cannot be written.
    """
    files = [
        {
            "path": str(entry.path),
            "marks": [[mark.size, mark.mtime_ns] for mark in entry.marks],
            "n_folders": entry.n_folders,
        }
        for entry in owned.values()
    ]
    text = json.dumps({"version": VERSION, "files": files}, indent=1)
    disk.write_whole(manifest, text.encode())
