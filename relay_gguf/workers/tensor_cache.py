"""Tensors that a worker keeps on disk, so that a second load of a model does not send them again.

llama.cpp names each file by a hash of its content, and never checks that the content is whole.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from relay_gguf.disk import free_space
from relay_gguf.errors import WorkerError
from relay_gguf.fit.memory import GIB
from relay_gguf.folders import DIRS

MARK: Final = ".in-use"
"""The ending of a file whose name is the id of a process that uses the folder."""
DOUBTFUL: Final = 10.0
"""Seconds: a file written so shortly before the server died may be half a tensor."""
ROOM: Final = 2 * GIB
"""Bytes of disk that must be free when a worker starts: on a full disk a file would be half a
tensor. The space is not checked again."""


def cache_folder() -> Path:
    """The folder of kept tensors, made if need be.

    Raises:
        WorkerError: the disk has little free space, or the folder cannot be made.
    """
    folder = DIRS.user_cache_path / "rpc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = free_space(folder)
    except OSError as error:
        raise WorkerError(f"Cannot keep tensors in {folder}: {error.strerror}.") from error
    if free < ROOM:
        raise WorkerError(
            f"Cannot keep tensors in {folder}: only {free / GIB:.1f} GiB of the disk are free. "
            "Free some space, or leave out --cache."
        )
    return folder


def begin(folder: Path) -> Path:
    """Mark a folder as in use by this process; returns the path of the mark.

    A mark whose process is gone is of a worker that was killed, perhaps in the middle of a tensor.
    Nobody can tell which tensor, so all are removed.
    """
    with suppress(OSError):
        for mark in folder.glob(f"*{MARK}"):
            if not (mark.stem.isdigit() and psutil.pid_exists(int(mark.stem))):
                for path in folder.iterdir():
                    if not path.name.endswith(MARK):
                        path.unlink(missing_ok=True)
                mark.unlink(missing_ok=True)
    mark = folder / f"{os.getpid()}{MARK}"
    with suppress(OSError):
        mark.touch()
    return mark


def drop_doubtful(folder: Path) -> None:
    """Remove the files written just before a server died."""
    newest = time.time() - DOUBTFUL
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if not path.name.endswith(MARK) and path.stat().st_mtime >= newest:
                    path.unlink()
