"""The folder of a run: its files, and which models, judges and settings it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay_gguf.disk import make_folders, write_whole
from relay_gguf.errors import StoreError
from relay_gguf.gguf_file.name import parse_name, shard_paths

SETTINGS: Final = "run.json"
EDGE: Final = 1 << 20
"""Bytes that are read of a file's beginning and end, to know it again."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder named by --out."""

    path: Path

    def answers(self, model: str) -> Path:
        """The ledger of a model's answers."""
        return self.path / "answers" / f"{model}.jsonl"

    def verdicts(self, model: str, judge: str) -> Path:
        """The ledger of a judge's verdicts on a model's answers."""
        return self.path / "verdicts" / judge / f"{model}.jsonl"

    def judged(self, model: str) -> Path:
        """Answers and verdicts together, a row each, with the keys of the original's files."""
        return self.path / "judged" / f"{model}.jsonl"

    def claim(self, kind: str, name: str, values: Mapping[str, Any]) -> None:
        """Note what a name stands for; refuse where it stood for something else in this run.

        Raises:
            StoreError: the folder has results of another file or with other settings under this
                name, or cannot be written.
        """
        path = self.path / SETTINGS
        given = json.loads(json.dumps(values))
        try:
            make_folders(self.path)
            known = json.loads(path.read_text("utf-8")) if path.exists() else {}
            there = known.setdefault(kind, {}).get(name)
            if there == given:
                return
            if there is not None:
                other = next(k for k in {**there, **given} if there.get(k) != given.get(k))
                raise StoreError(
                    f"{self.path} has results of {name} with another {other}. Give another --out, "
                    "or repeat the run with what it was begun with."
                )
            known[kind][name] = given
            write_whole(path, json.dumps(known, indent=1).encode())
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror or error}.") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise StoreError(f"{path} is damaged. Give another --out.") from error

    def make_parents(self, path: Path) -> Path:
        """Make the folder of a file; returns the file's path.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            make_folders(path.parent)
        except OSError as error:
            raise StoreError(f"Cannot make {path.parent}: {error.strerror or error}.") from error
        return path


def name_of(path: Path) -> str:
    """A model's name in the folder: its file's, without ending and number of the shard."""
    parsed = parse_name(path.name)
    stem = path.name.removesuffix(".gguf")
    return stem.rpartition("-of-")[0].rpartition("-")[0] if parsed.count > 1 else stem


def identity(path: Path) -> str:
    """What a model's files are known again by: a digest of their sizes, beginnings and ends.

    Raises:
        StoreError: a file cannot be read.
    """
    running = sha256()
    for shard in shard_paths(path):
        try:
            with shard.open("rb") as file:
                n_bytes = file.seek(0, os.SEEK_END)
                file.seek(max(0, n_bytes - EDGE))
                running.update(str(n_bytes).encode() + file.read(EDGE))
                file.seek(0)
                running.update(file.read(EDGE))
        except OSError as error:
            raise StoreError(f"Cannot read {shard}: {error.strerror or error}.") from error
    return running.hexdigest()[:32]
