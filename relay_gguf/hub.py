"""Model names to files: a path, or a repository of the Hugging Face Hub. The one file that fetches.

    models/relay.gguf                a file
    owner/name                       the repository's only GGUF file, or its Q4_K_M
    owner/name:Q8_0                  the one of this type
    owner/name/file-Q8_0.gguf        the one of this name

A folder of safetensors, to convert, is `owner/name` too. Downloads go to the hub's shared cache,
resume where they stopped, and models are used from there without asking the network again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .errors import ModelError

USUAL_TYPE: Final = "Q4_K_M"
"""Taken where a repository has several files and none was named: half the size of Q8_0, and what
local models are mostly run in."""

_REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<ftype>[\w-]+)|/(?P<file>.+\.gguf))?")
_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file asked of a repository: by name, by type, or any."""

    repo: str
    ftype: str = ""
    file: str = ""

    def __str__(self) -> str:
        end = f":{self.ftype}" if self.ftype else f"/{self.file}" if self.file else ""
        return self.repo + end


class UnreachableError(ModelError):
    """The hub cannot be asked now."""


def parse_repo(model: str) -> RepoFile | None:
    """What a model argument asks of the hub; None where it can only be a path."""
    match = _REPO.fullmatch(model)
    if match is None or model.startswith((".", "/", "~")):
        return None
    if not match["file"] and match["repo"].endswith(".gguf"):
        return None
    return RepoFile(match["repo"], match["ftype"] or "", match["file"] or "")


def pick_file(wanted: RepoFile, files: Iterable[str]) -> str:
    """The file of a repository to take.

    Raises:
        ModelError: there is none of that name or type, or several and no way to choose.
    """
    models = sorted(f for f in files if f.endswith(".gguf") and not f.startswith("mmproj"))
    whole = [file for file in models if not _PART.search(file)]
    listing = ", ".join(whole) or "no GGUF file"
    if wanted.file:
        if wanted.file in models:
            return wanted.file
        raise ModelError(f"{wanted.repo} has no file {wanted.file}. It has: {listing}.")
    types = [wanted.ftype] if wanted.ftype else ["", USUAL_TYPE]
    for ftype in types:
        end = re.compile(rf"[-.]{re.escape(ftype)}\.gguf$", re.IGNORECASE)
        found = [file for file in whole if not ftype or end.search(file)]
        if len(found) == 1:
            return found[0]
    asked = f"file of type {wanted.ftype}" if wanted.ftype else f"single file or {USUAL_TYPE}"
    raise ModelError(
        f"{wanted.repo} has no {asked}. It has: {listing}. Name one: {wanted.repo}/FILE."
    )


def locate(model: str | Path) -> Path:
    """The file of a model argument, downloaded if need be.

    Raises:
        ModelError: the repository or file does not exist, is not open to this user, or cannot be
            reached. A path is returned as it is, whether a file is there or not.
    """
    try:
        path = Path(model).expanduser()
    except RuntimeError as error:
        raise ModelError(f"There is no file {model}: {error}.") from error
    wanted = None if path.exists() else parse_repo(str(model))
    if wanted is None:
        return path
    usual = wanted if wanted.ftype or wanted.file else replace(wanted, ftype=USUAL_TYPE)
    if (cached := _cached(usual)) is not None:
        return cached
    try:
        return _download(wanted)
    except UnreachableError:
        if (cached := _cached(wanted)) is not None:
            return cached
        raise


def _cached(wanted: RepoFile) -> Path | None:
    """The file in the hub's cache, of the newest snapshot that has it."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=wanted.repo, repo_type="model")
    snapshots = [path for path in (folder / "snapshots").glob("*") if path.is_dir()]
    for snapshot in sorted(snapshots, key=lambda path: path.stat().st_mtime, reverse=True):
        files = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.gguf")]
        try:
            return snapshot / pick_file(wanted, files)
        except ModelError:
            continue
    return None


def _download(wanted: RepoFile) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    with _explained(str(wanted), wanted.repo, " `--demo` needs no network."):
        file = pick_file(wanted, HfApi().list_repo_files(wanted.repo))
        return Path(hf_hub_download(wanted.repo, file))


def locate_folder(model: str, files: Sequence[str]) -> Path:
    """The folder of a model or adapter in safetensors, downloaded if need be.

    Args:
        model: a folder, or `owner/name` on the hub.
        files: patterns of the files that are needed of a repository.

    Raises:
        ModelError: the repository does not exist, is not open to this user, or cannot be reached.
            A path is returned as it is, whether a folder is there or not.
    """
    path = Path(model).expanduser()
    wanted = None if path.exists() else parse_repo(model)
    if wanted is None or wanted.ftype or wanted.file:
        return path
    from huggingface_hub import snapshot_download

    with _explained(wanted.repo, wanted.repo):
        return Path(snapshot_download(wanted.repo, allow_patterns=list(files)))


def tensor_headers(repo: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a repository, from its files' heads alone.

    Raises:
        ModelError: the repository does not exist, is not open to this user, has no safetensors, or
            cannot be reached.
    """
    from huggingface_hub import HfApi

    with _explained(repo, repo):
        files = HfApi().get_safetensors_metadata(repo).files_metadata.values()
    return {
        name: (str(info.dtype), tuple(info.shape))
        for file in files
        for name, info in file.tensors.items()
    }


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository: who may read it, and name → SHA-256 of its files, of small ones git's SHA-1."""

    private: bool
    digests: Mapping[str, str]


def remote(repo: str) -> Remote | None:
    """A repository and its files; None where there is none.

    Raises:
        ModelError: it is not open to this user, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with _explained(repo, repo):
        try:
            info = HfApi().model_info(repo, files_metadata=True)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
    files = {file.rfilename: file for file in info.siblings or ()}
    digests = {name: file.lfs.sha256 if file.lfs else file.blob_id for name, file in files.items()}
    return Remote(bool(info.private), {name: known or "" for name, known in digests.items()})


def send(repo: str, files: Mapping[str, Path], *, private: bool, message: str) -> str:
    """Put files into a repository, which is made if need be, in one commit; its address.

    What an interrupted upload has sent already is not sent again.

    Raises:
        ModelError: this user may not write there, the hub refuses, or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with _explained(repo, repo):
        try:
            HfApi().create_repo(repo, private=private or None, exist_ok=True)
            added = [CommitOperationAdd(name, path) for name, path in files.items()]
            return str(HfApi().create_commit(repo, added, commit_message=message).commit_url)
        except HfHubHTTPError as error:
            if error.response.status_code not in (401, 403):
                raise
            raise ModelError(
                f"You may not write to {repo} on the hub. Run `hf auth login` with a token that "
                "may write, and check the owner's name."
            ) from error
        except ValueError as error:  # the YAML in README.md, which the hub checks first
            raise ModelError(f"The hub refuses the files: {error}") from error


@contextmanager
def _explained(what: str, repo: str, hint: str = "") -> Iterator[None]:
    """Errors of the hub's library as ours."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except ModelError:
        raise
    except GatedRepoError as error:
        raise ModelError(
            f"{repo} is gated: accept its terms on its page, then run `hf auth login`."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise UnreachableError(
            f"{what} is not in the cache, and the hub is offline.{hint}"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
            raise ModelError(
                f"There is no {what} here, and no repository {repo} on the hub "
                "that you may read. Check the name, or run `hf auth login`."
            ) from error
        raise UnreachableError(f"The hub answered {status} for {what}. Try later.") from error
    except Exception as error:  # the hub's library passes its transport's errors on as they are
        raise UnreachableError(f"Cannot reach the hub for {what}: {error}.{hint}") from error
