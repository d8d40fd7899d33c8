"""The journal of a conversion: what is done, so that the same command can go on after a kill.

A file of JSON lines in the output folder, locked while a conversion runs there, removed at its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from relay_gguf.errors import ConversionError
from relay_gguf.lock import lock

from .output import PARTIAL

NAME: Final = ".relay-gguf-convert.journal"


class Journal:
    """The journal of an output folder, open and locked."""

    def __init__(self, folder: Path) -> None:
        """Open it, or make it.

        Raises:
            ConversionError: another process converts into this folder, or it cannot be written.
        """
        self.folder = folder
        self.path = folder / NAME
        try:
            self._file: BinaryIO = os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644),
                "r+b",
                buffering=0,  # what cannot be written must not wait for close()
            )
        except OSError as error:
            raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
        if not lock(self._file):
            self._file.close()
            raise ConversionError(
                f"Another relay-gguf converts into {folder}. Let it finish, or take another --out."
            )
        self.entries = _read(self._file)

    @property
    def run(self) -> str | None:
        """Which conversion it is of; None for a new one."""
        return str(self.entries[0]["run"]) if self.entries else None

    @property
    def tensors(self) -> Sequence[Mapping[str, Any]]:
        """The lines of finished tensors, in order."""
        return [entry for entry in self.entries if "tensor" in entry]

    @property
    def checked(self) -> Mapping[str, bool]:
        """Types whose files wait for their names; whether they were proved before."""
        return {line["checked"]: line["proved"] for line in self.entries if "checked" in line}

    @property
    def published(self) -> Mapping[str, str]:
        """Files that have their name already, and their digests."""
        return {line["published"]: line["sha256"] for line in self.entries if "published" in line}

    @property
    def what(self) -> str:
        """What the conversion is, in words."""
        return str(self.entries[0].get("what", "")) if self.entries else ""

    def begin(self, run: str, what: str, files: Sequence[str]) -> None:
        """Start anew; what an earlier conversion left half done is removed."""
        self.remove_partials()
        self._rewrite([{"run": run, "what": what, "files": list(files)}])

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tensors, as what follows has to be made again."""
        self._rewrite([*self.entries[:1], *self.tensors[:count]])

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a line."""
        self.entries.append(dict(entry))
        line = memoryview(json.dumps(entry).encode() + b"\n")
        while line:
            line = line[self._file.write(line) :]

    def remove(self) -> None:
        """End it: nothing is left to go on with."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows removes no open file
            self._file.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it."""
        self._file.close()

    def remove_partials(self) -> None:
        """Remove what was begun under temporary names."""
        for name in self.entries[0].get("files", []) if self.entries else []:
            if Path(name).name == name:  # a journal that someone made up removes nothing else
                (self.folder / (name + PARTIAL)).unlink(missing_ok=True)

    def _rewrite(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.entries = []
        for entry in entries:
            self.add(entry)


def _read(file: BinaryIO) -> list[dict[str, Any]]:
    """The whole lines; a last one without its end was being written when the process was killed."""
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
    file.seek(length)
    file.truncate()
    return entries
