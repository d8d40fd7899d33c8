"""The files of a run: a JSON line a row, each down on the disk before the next is made.

A power cut or kill -9 may end the last line anywhere: such a line is cut off when the file is
opened again. Several machines may each have made a part: all parts of a name are read together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from relay_gguf.disk import append, cut_torn_line, lock
from relay_gguf.errors import StoreError

Row = Mapping[str, Any]


class Ledger:
    """An open file of rows, which this process alone appends to; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open or make a file; its folder must exist.

        Raises:
            StoreError: another process has it, or it cannot be written.
        """
        self.path = path
        try:
            self._file: BinaryIO = path.open("a+b", buffering=0)
            if not lock(self._file):
                self._file.close()
                raise StoreError(
                    f"{path} is being written by another process. Wait for it, or give another "
                    "--out."
                )
            cut_torn_line(self._file)
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror or error}.") from error

    def add(self, row: Row) -> None:
        """Append a row, down to the disk.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            line = f"{json.dumps(row, ensure_ascii=False)}\n"
            append(self._file, line.encode("utf-8", "replace"))
        except OSError as error:
            raise StoreError(
                f"Cannot write {self.path}: {error.strerror or error}. The rows before are kept: "
                "run the same command again."
            ) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def parts(path: Path) -> list[Path]:
    """The file and its parts by ranges, `name.0-100.jsonl`, those that exist."""
    ranges = path.parent.glob("*.jsonl")
    return sorted(p for p in ranges if p == path or _part_of(p) == path.name)


def part(path: Path, numbers: range | None) -> Path:
    """The path of the part for a range of questions; the file itself for all of them."""
    if numbers is None:
        return path
    return path.with_name(f"{path.stem}.{numbers.start}-{numbers.stop}{path.suffix}")


def _part_of(path: Path) -> str:
    """The name of the file of which this one is a part; empty if it is none."""
    stem, dot, numbers = path.stem.rpartition(".")
    start, dash, stop = numbers.partition("-")
    return f"{stem}{path.suffix}" if dot and dash and start.isdigit() and stop.isdigit() else ""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file and its parts; a torn last line is left out.

    Raises:
        StoreError: a file cannot be read, or has a line that is not a row.
    """
    for file in parts(path):
        try:
            data = file.read_bytes()
        except OSError as error:
            raise StoreError(f"Cannot read {file}: {error.strerror or error}.") from error
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("key"), str):
                raise StoreError(
                    f"Line {number} of {file} is damaged. Remove the line: its question is asked "
                    "again."
                )
            yield row
