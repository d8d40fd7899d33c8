"""What a model argument asks of a repository of the hub, and which of its files answer it.

    owner/name                       the repository's only model, or its Q4_K_M
    owner/name:Q8_0                  the one of this type
    owner/name/file-Q8_0.gguf        the one of this name

`hf.co/` before it changes nothing. A model that is split is all of its parts, whichever is named.
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
"""Taken where a repository has several files and none was named: half the size of Q8_0, and what
local models are mostly run in."""
BESIDE: Final = ("mmproj", "imatrix")
"""Beginnings of names of GGUF files that are no language models."""

_REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<ftype>[\w.-]+)|/(?P<file>.+\.gguf))?")
_HOST = re.compile(r"(https://)?(hf\.co|huggingface\.co)/")
_PART = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file asked of a repository: by name, by type, or any."""

    repo: str
    ftype: str = ""
    file: str = ""

    def __str__(self) -> str:
        end = f":{self.ftype}" if self.ftype else f"/{self.file}" if self.file else ""
        return self.repo + end


def parse_repo(model: str) -> RepoFile | None:
    """What a model argument asks of the hub; None where it can only be something else."""
    match = _REPO.fullmatch(_HOST.sub("", model, count=1) if _HOST.match(model) else model)
    if match is None or model.startswith((".", "/", "~")):
        return None
    if not match["file"] and match["repo"].endswith(ENDING):
        return None
    return RepoFile(match["repo"], match["ftype"] or "", match["file"] or "")


def pick_files(wanted: RepoFile, files: Iterable[str]) -> tuple[str, ...]:
    """The file of a repository to take, or all parts of it, the first part first.

    Raises:
        ModelError: there is none of that name or type, several and no way to choose, or a part is
            missing.
    """
    names = sorted(file for file in files if _is_model(file))
    models = list(dict.fromkeys(map(_parts, names)))
    listing = ", ".join(model[0] for model in models) or "no GGUF file"
    if wanted.file:
        if wanted.file not in names:
            raise ModelError(f"{wanted.repo} has no file {wanted.file}. It has: {listing}.")
        return _complete(wanted.repo, _parts(wanted.file), names)
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


def _parts(file: str) -> tuple[str, ...]:
    return tuple(path.as_posix() for path in shard_paths(Path(file)))


def _complete(repo: str, model: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    missing = [part for part in model if part not in names]
    if missing:
        raise ModelError(
            f"{repo} has not all {len(model)} parts of {model[0]}: {missing[0]} is not there. "
            "Take another type, or ask its owner."
        )
    return tuple(model)


def _is_type(file: str, ftype: str) -> bool:
    """Whether a file is of a type: by its name, or by its folder where its name has none."""
    path = PurePosixPath(file)
    stem = _PART.sub("", path.stem)
    said = stem if parse_name(path.name).ftype else path.parent.name
    ends = (f"-{ftype}".lower(), f".{ftype}".lower())
    return ftype.lower() in (stem.lower(), said.lower()) or said.lower().endswith(ends)
