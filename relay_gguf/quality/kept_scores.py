"""Values of positions on the disk while they come, so that a run that was stopped goes on there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from relay_gguf.disk import make_folders

from .probabilities import N_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENDING: Final = ".scores"
MOST: Final = 200
"""Files that are kept, the newest; each has 20 bytes a position."""


class KeptScores:
    """The values (n, N_COLUMNS) of one file, in memory, and on the disk where that can be."""

    def __init__(self, folder: Path | None, key: str) -> None:
        """Take up what is there.

        Args:
            folder: of such files; None keeps nothing.
            key: the file's name: what its values belong to.
        """
        self._file: BinaryIO | None = None
        self._parts: list[NDArray[np.float32]] = []
        if folder is None:
            return
        with suppress(OSError):
            make_folders(folder)
            path = folder / f"{key[:40]}{ENDING}"
            self._file = path.open("r+b" if path.exists() else "w+b")
            data = self._file.read()
            whole = len(data) // (4 * N_COLUMNS) * N_COLUMNS
            self._parts = [np.frombuffer(data, "<f4", whole).reshape(-1, N_COLUMNS)]
            _prune(folder)

    @property
    def n_rows(self) -> int:
        """Positions that have values."""
        return sum(map(len, self._parts))

    def keep_first(self, n_rows: int) -> None:
        """Forget all but the first values."""
        self._parts = [self.values(n_rows)]
        if self._file is not None:
            self._file.truncate(4 * N_COLUMNS * n_rows)
            self._file.seek(0, 2)

    def add(self, values: NDArray[np.float32]) -> None:
        """Add the values of the next positions."""
        self._parts.append(values)
        if self._file is not None:
            try:
                self._file.write(values.astype("<f4", copy=False).tobytes())
                self._file.flush()
            except OSError:  # a full disk: the values are in memory too
                self._file = None

    def values(self, n_rows: int) -> NDArray[np.float32]:
        """The first `n_rows` values."""
        if not self._parts:
            return np.zeros((0, N_COLUMNS), np.float32)
        return np.concatenate(self._parts)[:n_rows]

    def __enter__(self) -> KeptScores:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def _prune(folder: Path) -> None:
    found = sorted(folder.glob(f"*{ENDING}"), key=lambda path: path.stat().st_mtime)
    for path in found[:-MOST]:
        path.unlink(missing_ok=True)
