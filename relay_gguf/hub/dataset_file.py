"""Tables of questions and the like in data sets of the hub: which file is meant.

owner/name                    the data set's only table
owner/name/data/file.json     its file of this name
owner/name@v1/data/file.json  as it was at this branch, tag or commit
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from relay_gguf.errors import ModelError

from .cache import repo_cache
from .repo import DATASETS, MAIN, RepoFile

TABLES: Final = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt")
"""Endings of files that are tables."""
_DATASET: Final = re.compile(
    r"(?:hf://|(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)/)?(?:datasets/)?"
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w.-]*))?(?:/(?P<file>\w[\w./ -]*))?",
    re.ASCII | re.IGNORECASE,
)


def parse_table(name: str) -> RepoFile | None:
    """The file of a data set that a name means; None if it cannot name a data set."""
    match = _DATASET.fullmatch(name)
    if match is None or ".." in name.split("/"):
        return None
    revision = "" if match["revision"] in (None, MAIN) else match["revision"]
    return RepoFile(DATASETS + match["repo"], file=match["file"] or "", revision=revision)


def pick_table(wanted: RepoFile, files: Iterable[str]) -> tuple[str, ...]:
    """The name of the file to take: the one that is named, or the only table.

    Raises:
        ModelError: there is no such file, or no way to choose.
    """
    names = sorted(files)
    tables = [name for name in names if PurePosixPath(name).suffix.lower() in TABLES]
    if wanted.file:
        if wanted.file in names:
            return (wanted.file,)
    elif len(tables) == 1:
        return (tables[0],)
    what = f"no file {wanted.file}" if wanted.file else "no single table"
    own = wanted.repo.removeprefix(DATASETS)
    raise ModelError(
        f"{own} has {what}. It has: {', '.join(tables) or 'none'}. Name one: {own}/FILE."
    )


def cached_table(wanted: RepoFile) -> Path | None:
    """The file in the hub's cache, of the newest snapshot that has it; None if none has."""
    for snapshot in repo_cache(wanted.repo).snapshots(wanted.revision):
        names = [path for path in snapshot.rglob("*") if path.is_file()]
        with suppress(ModelError):
            (name,) = pick_table(wanted, [p.relative_to(snapshot).as_posix() for p in names])
            return snapshot / name
    return None
