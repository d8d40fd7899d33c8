"""A model argument that names a repository of the hub, and the files in it that are meant.

    owner/name                       the repository's only model, or its Q4_K_M
    owner/name:Q8_0                  its file of this type
    owner/name/file-Q8_0.gguf        its file of this name

`hf.co/` before it changes nothing. A split model is all its shards, whichever is named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.name import ENDING, parse_name, shard_paths

USUAL_TYPE: Final = "Q4_K_M"
"""The type taken if a repository has several files and none was named: half the size of Q8_0, and
the most common type of local models."""
BESIDE: Final = ("mmproj", "imatrix")
"""Prefixes of names of GGUF files that are not language models."""

_REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<ftype>[\w.-]+)|/(?P<file>.+\.gguf))?")
_HOST = re.compile(r"(https://)?(hf\.co|huggingface\.co)/")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file in a repository: named by its name, by its type, or not at all."""

    repo: str
    ftype: str = ""
    file: str = ""

    def __str__(self) -> str:
        end = f":{self.ftype}" if self.ftype else f"/{self.file}" if self.file else ""
        return self.repo + end


def parse_repo(model: str) -> RepoFile | None:
    """The repository and file that a model argument names; None if it cannot name a repository."""
    match = _REPO.fullmatch(_HOST.sub("", model, count=1) if _HOST.match(model) else model)
    if match is None or model.startswith((".", "/", "~")):
        return None
    if not match["file"] and match["repo"].endswith(ENDING):
        return None
    return RepoFile(match["repo"], match["ftype"] or "", match["file"] or "")


def pick_files(wanted: RepoFile, files: Iterable[str]) -> tuple[str, ...]:
    """The names of the file to take, or of all its shards in order.

    Args:
        wanted: the repository and file.
        files: names of all files in the repository.

    Raises:
        ModelError: there is no file of that name or type, there are several and no way to choose,
            or a shard is missing.
    """
    names = sorted(file for file in files if _is_model(file))
    models = list(dict.fromkeys(map(_shards, names)))
    listing = ", ".join(model[0] for model in models) or "no GGUF file"
    if wanted.file:
        if wanted.file not in names:
            raise ModelError(f"{wanted.repo} has no file {wanted.file}. It has: {listing}.")
        return _complete(wanted.repo, _shards(wanted.file), names)
    for ftype in [wanted.ftype] if wanted.ftype else ["", USUAL_TYPE]:
        fitting = [model for model in models if not ftype or _is_type(model[0], ftype)]
        whole = [model for model in fitting if len(model) == 1]
        for found in (whole, fitting):
            if len(found) == 1:
                return _complete(wanted.repo, found[0], names)
    asked = f"single file of type {wanted.ftype}" if fitting else f"file of type {wanted.ftype}"
    asked = asked if wanted.ftype else f"single file or {USUAL_TYPE}"
    raise ModelError(
        f"{wanted.repo} has no {asked}. It has: {listing}. Name one: {wanted.repo}/FILE."
    )


def _is_model(file: str) -> bool:
    return file.endswith(ENDING) and not PurePosixPath(file).name.startswith(BESIDE)


def _shards(file: str) -> tuple[str, ...]:
    return tuple(path.as_posix() for path in shard_paths(Path(file)))


def _complete(repo: str, model: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    missing = [shard for shard in model if shard not in names]
    if missing:
        raise ModelError(
            f"{repo} lacks {missing[0]}, one of the {len(model)} shards of {model[0]}. Take "
            "another type, or ask its owner."
        )
    return tuple(model)


def _is_type(file: str, ftype: str) -> bool:
    """Whether a file is of a type: by its name, or by its folder if its name tells no type."""
    path = PurePosixPath(file)
    stem = _SHARD.sub("", path.stem)
    said = stem if parse_name(path.name).ftype else path.parent.name
    ends = (f"-{ftype}".lower(), f".{ftype}".lower())
    return ftype.lower() in (stem.lower(), said.lower()) or said.lower().endswith(ends)
