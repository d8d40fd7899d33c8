"""The journal of a conversion: its finished steps, so that a killed run can be resumed.

A file of JSON lines in the output folder, locked while a conversion runs there, removed at its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from relay_gguf.disk import EARLIER_PARTIAL, lock, partial
from relay_gguf.errors import ConversionError

NAME: Final = ".relay-gguf-convert.journal"


class Journal:
    """The journal of an output folder, open and locked; `entries` are its lines."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open the journal, or make it.

        Args:
            folder: the output folder.
            read_only: write nothing; a journal that does not exist counts as empty.

        Raises:
            ConversionError: another process converts into this folder, or it cannot be written.
        """
        self.folder = folder
        self.path = folder / NAME
        open_file = _opened_to_read if read_only else _opened
        try:
            self._file = open_file(self.path)
            while (taken := lock(self._file)) and _is_gone(self._file, self.path):
                self._file.close()
                self._file = open_file(self.path)
        except OSError as error:
            raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
        if not taken:
            self._file.close()
            raise ConversionError(
                f"Another relay-gguf converts into {folder}. Let it finish, or give another --out."
            )
        self.entries, length = _read(self._file)
        if not read_only:
            self._file.seek(length)
            self._file.truncate()

    @property
    def run(self) -> str | None:
        """The identity of its conversion; None while no conversion has begun."""
        return str(self.entries[0]["run"]) if self.entries else None

    @property
    def tensors(self) -> Sequence[Mapping[str, Any]]:
        """The entries of finished tensors, in order."""
        return [entry for entry in self.entries if "tensor" in entry]

    @property
    def checked(self) -> Mapping[str, bool]:
        """File types whose files wait for their final names → whether the files were verified."""
        return {line["checked"]: line["proved"] for line in self.entries if "checked" in line}

    @property
    def published(self) -> Mapping[str, str]:
        """File names that are final → the SHA-256 of the files."""
        return {line["published"]: line["sha256"] for line in self.entries if "published" in line}

    @property
    def what(self) -> str:
        """A description of the conversion, for messages."""
        return str(self.entries[0].get("what", "")) if self.entries else ""

    def begin(self, run: str, what: str, files: Sequence[str]) -> None:
        """Begin a conversion; the partial files of an earlier one are removed."""
        self.remove_partials()
        self._cut(0)
        self.add({"run": run, "what": what, "files": list(files)})

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tensors: the others have to be made again.

        Nothing is written anew: a kill or a full disk would lose what was done in hours.
        """
        self._cut(1 + count)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry."""
        self.entries.append(dict(entry))
        line = memoryview(json.dumps(entry).encode() + b"\n")
        while line:
            line = line[self._file.write(line) :]

    def remove(self) -> None:
        """Remove the journal: there is nothing to resume."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows removes no open file
            self._file.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal, and unlock it."""
        self._file.close()

    def partials(self) -> list[Path]:
        """The partial files that the conversion may have begun."""
        return [path for file in self._files() for path in _partials(file)]

    def remove_partials(self) -> None:
        """Remove the partial files of the conversion."""
        for path in self.partials():
            path.unlink(missing_ok=True)

    def adopt_partials(self) -> None:
        """Rename partial files of an earlier release, so that its run can be resumed."""
        for file in self._files():
            now, earlier = _partials(file)
            if earlier.exists() and not now.exists():
                earlier.replace(now)

    def _files(self) -> list[Path]:
        names = self.entries[0].get("files", []) if self.entries else []
        # A journal that somebody made up names no file of another folder.
        return [self.folder / name for name in names if Path(name).name == name]

    def _cut(self, count: int) -> None:
        """Keep the first `count` entries."""
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        self._file.seek(sum(map(len, lines[:count])))
        self._file.truncate()
        self.entries = self.entries[:count]


def _partials(file: Path) -> tuple[Path, Path]:
    """The names of a file while it is written: by this release, and by earlier ones."""
    return partial(file), file.with_name(file.name + EARLIER_PARTIAL)


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644),
        "r+b",
        buffering=0,  # a write that fails must not wait for close()
    )


def _opened_to_read(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return BytesIO()


def _is_gone(file: BinaryIO, path: Path) -> bool:
    """Whether a file was removed after it was opened: the conversion that had it has ended."""
    if isinstance(file, BytesIO):
        return False
    opened = os.fstat(file.fileno())
    return not opened.st_nlink and not (path.exists() and os.path.samestat(opened, path.stat()))


def _read(file: BinaryIO) -> tuple[list[dict[str, Any]], int]:
    """The whole lines and their bytes; a last line without its end was cut off by a kill."""
    entries: list[dict[str, Any]] = []
    length = 0
    for line in file.read().splitlines(keepends=True):
        try:
            entry = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or (not entries and "run" not in entry):
            break
        entries.append(entry)
        length += len(line)
    return entries, length
