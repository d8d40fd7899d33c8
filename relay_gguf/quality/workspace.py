"""A folder for large files that live as long as a process; what a killed one left is removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from relay_gguf.disk import lock, make_folders
from relay_gguf.errors import QualityError

PREFIX: Final = "run-"
LOCK: Final = "lock"


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` until the block ends.

    Raises:
        QualityError: there can be none.
    """
    try:
        make_folders(parent)
        _remove_left(parent)
        folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        held = (folder / LOCK).open("wb")
    except OSError as error:
        raise QualityError(
            f"Cannot write into {parent}: {error.strerror or error}. --save-base puts the logits "
            "elsewhere."
        ) from error
    with held:
        lock(held)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # Windows removes no open file


def _remove_left(parent: Path) -> None:
    """Remove folders of processes that are gone."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open("rb") as file:
            if lock(file):
                shutil.rmtree(folder, ignore_errors=True)
