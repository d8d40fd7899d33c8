"""The file of finished scenes: appended and synced one by one, so that a kill loses none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from relay_gguf.disk import append, cut_torn_line, lock, sync_folder
from relay_gguf.errors import StoreError

from .raw_scene import RawScene, from_json, to_json


class RawFile:
    """A file of raw scenes, open for one process; `done` are the numbers that it has."""

    def __init__(self, path: Path, check: Callable[[], object] = lambda: None) -> None:
        """Open or make the file. A last line that a kill has cut is removed.

        Args:
            path: of the file.
            check: called when the file is ours, before anything in it changes; it may refuse.

        Raises:
            StoreError: another process writes it, it cannot be written, or a line is not a scene.
        """
        self.path = path
        new = not path.exists()
        try:
            self._file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror}.") from error
        try:
            if not lock(self._file):
                raise StoreError(f"Another process writes into {path}. Wait until it has ended.")
            check()
            cut_torn_line(self._file)
            self.done = {scene.number for scene in scenes_of(path)}
        except BaseException:
            self._file.close()
            raise
        if new:
            sync_folder(path.parent)

    def add(self, scene: RawScene) -> None:
        """Append a scene, down to the disk.

        Raises:
            OSError: the disk is full, or the like; the file ends with the last whole scene.
        """
        line = f"{to_json(scene)}\n".encode("utf-8", "replace")
        try:
            append(self._file, line)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise
        self.done.add(scene.number)

    def close(self) -> None:
        """Close the file, and let others have it."""
        self._file.close()

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def scenes_of(path: Path) -> Iterator[RawScene]:
    """The scenes of a file, in its order; a last line without a line break is left out.

    Raises:
        StoreError: the file cannot be read, or a line is not a scene.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield from_json(line.decode("utf-8"))
                except (ValueError, KeyError, TypeError) as error:
                    raise StoreError(
                        f"{path}, line {number} is not a raw scene of `relay-gguf synth`. Remove "
                        "the line, or name the file that ends in -raw.jsonl."
                    ) from error
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
