"""A conversion into a shared folder, as of a cache: done once, by the first process that asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from relay_gguf.disk import lock
from relay_gguf.errors import ConversionError

from .job import prepare
from .request import Request
from .run import ConversionEvent, Progress, run

LOCK: Final = "lock"
PAUSE: Final = 0.1
"""Seconds between two tries to get the lock."""


def run_once(
    request: Request,
    out: Path,
    *,
    is_done: Callable[[], bool],
    clean_up: Callable[[], None] = lambda: None,
) -> Iterator[ConversionEvent]:
    """Convert, unless another process has done so meanwhile; yields progress.

    An interrupted conversion is begun anew. Closing the generator stops it.

    Args:
        request: base, adapter and files.
        out: the folder of the files; the lock is in the folder above it.
        is_done: whether the files are there and whole.
        clean_up: is called at the end, while no other process converts.

    Raises:
        ConversionError: the folder cannot be written, or its disk has not enough room.
        ModelError: the base cannot be read.
    """
    with _opened(out.parent) as file:
        while not lock(file):
            yield Progress("wait", 0, 1)
            time.sleep(PAUSE)
        if not is_done():
            yield Progress("open", 0, 1)
            yield from run(prepare(request), out, force=True, restart=True)
        clean_up()


@contextmanager
def _opened(folder: Path) -> Iterator[BinaryIO]:
    """The lock file by which processes wait for one another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
    with file:
        yield file
