"""Repositories of the Hugging Face Hub: the list of their files, uploads, downloads of folders.

Only this folder imports the hub's library, which knows the address, the token and the offline mode
that the user has set. Its errors become errors of this package.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay_gguf.errors import ModelError

from .cache import FULL, repo_cache, unwritable
from .environment import check_environment
from .repo import RepoFolder, kind_of, parse_folder

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

LONGEST: Final = 600.0
"""Seconds that a server may ask us to wait."""
_UNWRITABLE: Final = (*FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
"""Errors of a disk, where no file is named."""


class UnreachableError(ModelError):
    """The hub cannot be reached now; `wait` are the seconds after which it asks to try again."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class CachedFolder:
    """A folder of a repository in the hub's cache, with some of its files or all."""

    folder: Path
    commit: str


def locate_folder(model: str, files: Sequence[str]) -> Path:
    """The folder of a model or adapter in safetensors, downloaded if need be.

    Args:
        model: a folder, or `owner/name` on the hub, maybe with a revision and a folder in it.
        files: patterns of the folder's files to download.

    Returns:
        The folder in the hub's cache; a path as it was given, whether a folder is there or not.

    Raises:
        ModelError: the repository or its folder does not exist, is not open to this user, or cannot
            be reached.
    """
    path = Path(model).expanduser()
    wanted = None if path.exists() else parse_folder(model)
    return path if wanted is None else snapshot(wanted, files).folder


def snapshot(wanted: RepoFolder, files: Sequence[str]) -> CachedFolder:
    """The files of a folder in a repository that fit patterns, downloaded if need be.

    Raises:
        ModelError: the repository or its folder does not exist, is not open to this user, or cannot
            be reached.
    """
    check_environment()
    from huggingface_hub import snapshot_download

    within = f"{wanted.folder}/" if wanted.folder else ""
    with explained(str(wanted), wanted.repo):
        found = snapshot_download(
            wanted.repo,
            revision=wanted.revision or None,
            allow_patterns=[escape(within) + pattern for pattern in files],
        )
    if not (folder := Path(found, wanted.folder)).is_dir():
        raise ModelError(f"{wanted.repo} has no folder {wanted.folder} with a model or an adapter.")
    return CachedFolder(folder, Path(found).name)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    `size` is in bytes, 0 if the hub does not tell. Large files have a SHA-256. `blob` names the
    bytes in the cache: the SHA-256, or git's SHA-1 of a file that lies in git itself.
    """

    name: str
    size: int = 0
    sha256: str = ""
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository at a commit.

    `licence` is the hub's identifier, like `cc-by-nc-4.0`; `gated` means that a user must accept
    its terms on its page.
    """

    private: bool
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    commit: str = ""
    licence: str = ""
    gated: bool = False

    @property
    def digests(self) -> dict[str, str]:
        """Name → SHA-256 of each file; git's SHA-1 of small files."""
        return {file.name: file.blob for file in self.files.values()}


def remote(repo: str, revision: str = "") -> Remote | None:
    """A repository and its files; None if there is no such repository.

    Args:
        repo: OWNER/NAME, or datasets/OWNER/NAME.
        revision: a branch, tag or commit; empty for the newest commit.

    Raises:
        ModelError: it is not open to this user, or the hub cannot be reached.
        SettingsError: the environment is wrong, as of all functions here.
    """
    check_environment()
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    with explained(repo, repo):
        try:
            name, kind = kind_of(repo)
            hub = HfApi()
            look_up = hub.dataset_info if kind == "dataset" else hub.model_info
            info: ModelInfo | DatasetInfo = look_up(
                name,
                revision=revision or None,
                files_metadata=True,
                timeout=HF_HUB_ETAG_TIMEOUT,
            )
        except GatedRepoError:
            raise
        except RevisionNotFoundError as error:
            raise ModelError(
                f"{repo} has no branch, tag or commit {revision!r}. Leave it out for the newest."
            ) from error
        except RepositoryNotFoundError:
            return None
    files = {}
    for file in info.siblings or ():
        sha256 = file.lfs.sha256 if file.lfs else ""
        blob = sha256 or file.blob_id or ""
        files[file.rfilename] = RemoteFile(file.rfilename, file.size or 0, sha256, blob)
    return Remote(
        private=bool(info.private),
        files=files,
        commit=info.sha or "",
        licence=_licence(info),
        gated=bool(info.gated),
    )


def _licence(info: ModelInfo | DatasetInfo) -> str:
    """The licence in a repository's card; if it is `other`, the card's name of it."""
    card = info.card_data
    said = card.get("license") if card else None
    if said == "other" and card:
        said = card.get("license_name") or said
    return " and ".join(map(str, said)) if isinstance(said, list) else str(said or "")


def send(repo: str, files: Mapping[str, Path], *, private: bool, message: str) -> str:
    """Upload files into a repository, made if need be, in one commit; returns the commit's address.

    Files that an interrupted upload has sent are not sent again.

    Args:
        repo: OWNER/NAME.
        files: name in the repository → file on this disk.
        private: whether a new repository is private.
        message: of the commit.

    Raises:
        ModelError: this user may not write there, the hub refuses, or cannot be reached.
    """
    check_environment()
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with explained(repo, repo):
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


def no_repository(what: str, repo: str) -> ModelError:
    """The error for a model that is neither on this disk nor on the hub."""
    return ModelError(
        f"There is no {what} here, and no repository {repo} on the hub "
        "that you may read. Check the name, or run `hf auth login`."
    )


@contextmanager
def explained(what: str, repo: str) -> Iterator[None]:
    """Turn errors of the hub's library into `ModelError`; the text names `what` and `repo`."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
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
        why = error.__cause__  # the library itself only says that the cache has not got it
        if isinstance(why, Exception) and not isinstance(why, OfflineModeIsEnabled):
            with explained(what, repo):
                raise why from why.__cause__
        raise UnreachableError(f"{what} is not in the cache, and the hub is offline.") from error
    except EntryNotFoundError as error:
        raise ModelError(f"{repo} has no such file as {what}. Check the name.") from error
    except HfHubHTTPError as error:
        status, host = error.response.status_code, error.response.url.host
        elsewhere = any(asked.url.host != host for asked in error.response.history)
        if elsewhere and status in (401, 403, 404, 451):
            raise ModelError(
                f"{host}, where the hub keeps {what}, answered {status}. A proxy or firewall that "
                "lets only the hub itself through can be the reason; else try again later."
            ) from error
        if status == 401 and "Invalid" in error.response.headers.get("X-Error-Message", ""):
            raise ModelError(
                "The hub does not know your token. Run `hf auth login`, or unset HF_TOKEN."
            ) from error
        if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
            raise no_repository(what, repo) from error
        said = f"The hub answered {status} for {what}. Try again later."
        raise UnreachableError(said, _asked_wait(error.response.headers)) from error
    except HFValidationError as error:
        raise no_repository(what, repo) from error
    except Exception as error:  # the hub's library passes its transport's errors on as they are
        if isinstance(error, OSError) and (error.filename or error.errno in _UNWRITABLE):
            raise unwritable(repo_cache(repo), error) from error
        said = str(error) or type(error).__name__
        raise UnreachableError(f"Cannot reach the hub for {what}: {said}.") from error


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, `LONGEST` at most.

    By Retry-After, a number of them or a date; or by RateLimit, which tells when the limit begins
    anew (draft-ietf-httpapi-ratelimit-headers): the hub has that.
    """
    if not (said := headers.get("Retry-After", "").strip()):
        limit = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
        said = limit[1] if limit else ""
    if said.isdecimal():
        return min(float(said), LONGEST)
    try:
        seconds = (parsedate_to_datetime(said) - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError):  # no date, or one without its zone
        return 0.0
    return min(max(0.0, seconds), LONGEST)
