"""A model argument that names a repository of the hub, and the files in it that are meant.

    owner/name                       the repository's only model, or its Q4_K_M
    owner/name:Q8_0                  its file of this type
    owner/name/file-Q8_0.gguf        its file of this name
    owner/name@v1:Q8_0               as it was at this branch, tag or commit; its slashes are %2F

`hf.co/` or `hf://` before it changes nothing, and links as a browser shows them name the same:
`https://huggingface.co/owner/name/blob/main/file-Q8_0.gguf?download=true`.
A split model is all its shards, whichever is named. Models and adapters in safetensors are folders:

    owner/name                       the repository
    owner/name/checkpoint-500        a folder in it
    owner/name@v1/checkpoint-500     as it was at this branch, tag or commit
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar
from urllib.parse import unquote

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.name import ENDING, parse_name, shard_paths

USUAL_TYPE: Final = "Q4_K_M"
"""The type taken if a repository has several files and none was named: half the size of Q8_0, and
the most common type of local models."""
BESIDE: Final = ("mmproj", "imatrix")
"""Prefixes of names of GGUF files that are not language models."""

DATASETS: Final = "datasets/"
"""Begins the name of a repository that is a data set, as in its address."""
MAIN: Final = "main"
"""The branch of a repository that is meant where none is named."""

_REPO = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/pr/\d+|\w[\w.%-]*))?"
    r"(?::(?P<ftype>[\w.-]+)|/(?P<file>.+\.gguf))?"
)
_FOLDER = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/pr/\d+|\w[\w.%-]*))?(?:/(?P<folder>[^:]+))?"
)
_HOST = re.compile(
    r"[\s<\"']*(?:hf://|(?:(?:https?|ssh)://)?(?:[^/@\s]+@)?(?:www\.)?(?:hf\.co|huggingface\.co)"
    r"(?::\d+)?[/:])",
    re.IGNORECASE,
)
_PULL = re.compile(r"refs/pr/\d+")
_PAGE = re.compile(
    r"(?P<repo>[^/]+/[^/]+)/(?P<kind>tree|commits?|blob|resolve|raw|blame|edit)/"
    r"(?P<revision>refs/pr/\d+|[^/]+)(?:/(?P<path>.+))?"
)
_BESIDE_FILES = re.compile(r"([^/]+/[^/]+)/(?:discussions|settings|activity)(?:/.*)?")
"""Pages of a repository that show none of its files."""
_VIEWED = re.compile(r"[?&]show_file_info=([^&#]+)")
"""What the hub adds to an address while it shows what is in a file."""
_OTHERS = ("api/", "collections/", "datasets/", "docs/", "models/", "papers/", "spaces/")
"""What the hub has beside models: no owner has such a name."""
_FOLDERS = ("tree", "commit", "commits")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file in a repository: named by its name, by its type, or not at all."""

    repo: str
    ftype: str = ""
    file: str = ""
    revision: str = ""  # a branch, tag or commit; empty is the newest

    def __str__(self) -> str:
        at = _written(self.revision)
        end = f":{self.ftype}" if self.ftype else f"/{self.file}" if self.file else ""
        return self.repo + at + end


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """A folder in a repository; empty is the repository itself."""

    repo: str
    folder: str = ""
    revision: str = ""  # a branch, tag or commit; empty is the newest

    def __str__(self) -> str:
        at = _written(self.revision)
        return self.repo + at + (f"/{self.folder}" if self.folder else "")


_Wanted = TypeVar("_Wanted", RepoFile, RepoFolder)


def _written(revision: str) -> str:
    """A revision behind a repository's name, where a slash would begin a file or folder."""
    written = revision if _PULL.fullmatch(revision) else revision.replace("/", "%2F")
    return f"@{written}" if revision else ""


def kind_of(repo: str) -> tuple[str, str]:
    """A repository's OWNER/NAME, and its kind in the words of the hub: `model` or `dataset`."""
    if repo.startswith(DATASETS):
        return repo.removeprefix(DATASETS), "dataset"
    return repo, "model"


def parse_folder(model: str) -> RepoFolder | None:
    """The folder of a repository that a name or a link names; None if it names a path or a file.

    The page of a file in safetensors names the folder that it lies in.
    """
    host = _HOST.match(model)
    if host is None and model.startswith((".", "/", "~")):
        return None
    rest = _address(model[host.end() :]) if host else model.rstrip("/")
    if rest.endswith(ENDING) or (host and rest.startswith(_OTHERS)):
        return None
    page = _PAGE.fullmatch(rest) if host else None
    match = _FOLDER.fullmatch(rest) if page is None else page
    if match is None:
        return None
    folder = unquote(match["folder" if page is None else "path"] or "")
    if page is not None and page["kind"] not in _FOLDERS:
        folder = PurePosixPath(folder).parent.as_posix().removeprefix(".")
    if {"", ".", ".."} & set(folder.split("/")) and folder:
        return None
    return _at(match["revision"], RepoFolder(match["repo"], folder))


def parse_repo(model: str) -> RepoFile | None:
    """The repository and file that a model argument names; None if it cannot name a repository."""
    host = _HOST.match(model)
    if host is None:
        return None if model.startswith((".", "/", "~")) else _parse_name(model)
    rest = _address(model[host.end() :])
    if rest.startswith(_OTHERS):
        return None
    page = _PAGE.fullmatch(rest)
    if page is not None:
        return _parse_page(page)
    named = _parse_name(rest)
    return named and replace(named, file=unquote(named.file))


def _address(link: str) -> str:
    """The repository in a link behind the host, and the file or page of it that the link shows."""
    whole = link.rstrip(" \t\r\n>\"'")
    rest = re.split(r"[?#]", whole, maxsplit=1)[0].strip("/").removesuffix(".git")
    beside = _BESIDE_FILES.fullmatch(rest)
    rest = beside[1] if beside else rest
    viewed = _VIEWED.search(whole)
    return rest if viewed is None else f"{rest.replace('/tree/', '/blob/', 1)}/{viewed[1]}"


def _parse_name(name: str) -> RepoFile | None:
    match = _REPO.fullmatch(name)
    if match is None or (not match["file"] and match["repo"].endswith(ENDING)):
        return None
    return _at(
        match["revision"], RepoFile(match["repo"], match["ftype"] or "", match["file"] or "")
    )


def _parse_page(page: re.Match[str]) -> RepoFile | None:
    """What a page shows: a file, or a folder, whose name is a type's."""
    path = unquote(page["path"] or "")
    is_file = page["kind"] not in _FOLDERS
    shown = RepoFile(page["repo"], "" if is_file else PurePosixPath(path).name, path * is_file)
    return _at(page["revision"], shown)


def _at(written: str | None, wanted: _Wanted) -> _Wanted | None:
    """A file or folder at a revision; None if that cannot be one's name, which becomes a path."""
    revision = unquote(written or MAIN)
    if revision == MAIN:
        return wanted
    named = re.fullmatch(r"\w[\w./-]*", revision) and ".." not in revision
    return replace(wanted, revision=revision) if named else None


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
