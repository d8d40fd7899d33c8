"""The hub's shared cache on this disk: which files it has, and where a new file goes.

    models--owner--name/blobs/<checksum>            the bytes, once
    models--owner--name/snapshots/<commit>/<file>   links to them
    models--owner--name/refs/main                   the newest commit
    datasets--owner--name/...                       the same of a data set

This is the layout of the hub's own library ("Understand caching" in its guides): each program finds
the other's files. Files of this program have names of their own until they are whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Final

from relay_gguf import disk
from relay_gguf.errors import ModelError

from .environment import check_numbers
from .repo import RepoFile, kind_of, pick_files

FULL: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk that is full, or of which this user may take no more."""


@dataclass(frozen=True, slots=True)
class RepoCache:
    """A repository in the cache whose folder is `root`."""

    root: Path
    repo: str

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return self.root / self._name

    @property
    def _name(self) -> str:
        name, kind = kind_of(self.repo)
        return f"{kind}s--{name.replace('/', '--')}"

    def blob(self, digest: str) -> Path:
        """The path of a whole file's bytes, by its checksum."""
        return self.folder / "blobs" / digest

    def partial(self, digest: str) -> Path:
        """The path of a file's bytes while it is downloaded."""
        return disk.partial(self.blob(digest))

    def lock(self, digest: str) -> Path:
        """An empty file that stays; the process that has locked it may write the partial file."""
        return self.root / ".locks" / self._name / f"{digest}.relay-gguf.lock"

    def file(self, commit: str, name: str) -> Path:
        """The path of a file of a commit, a link to its bytes."""
        return self.folder / "snapshots" / commit / name

    def has(self, commit: str, name: str, digest: str, size: int) -> bool:
        """Whether a file of `size` bytes is there, under its checksum or its name."""
        for path in (self.blob(digest), self.file(commit, name)):
            if path.is_file() and path.stat().st_size == size:
                return True
        return False

    def link(self, commit: str, name: str, digest: str) -> Path:
        """Give a whole file its name in a commit, by a link, else by moving it; returns that path.

        Raises:
            OSError: neither works.
        """
        blob, path = self.blob(digest), self.file(commit, name)
        if path.is_file() and (not blob.exists() or path.samefile(blob)):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _symlink(blob, path):
            blob.replace(path)
        return path

    def snapshots(self, revision: str = "") -> list[Path]:
        """The folders of commits that are here, the newest first.

        Of a revision, only the commit that it was when it was last asked for.
        """
        ref = self.ref(revision)
        commit = ref.read_text("utf-8").strip() if revision and ref.is_file() else revision
        found = (self.folder / "snapshots").glob(escape(commit) or "*")
        folders = [path for path in found if path.is_dir()]
        return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)

    def ref(self, revision: str) -> Path:
        """The path of the file that tells the commit of a branch or tag."""
        return self.folder / "refs" / revision

    def set_ref(self, revision: str, commit: str) -> None:
        """Record the commit of a branch or tag, for programs that look only into the cache.

        Raises:
            OSError: the record cannot be written.
        """
        if revision == commit:
            return
        ref = self.ref(revision)
        ref.parent.mkdir(parents=True, exist_ok=True)
        disk.write_whole(ref, commit.encode())

    def partial_size(self, digest: str) -> int:
        """Bytes of a file that were downloaded before, 0 if none were."""
        path = self.partial(digest)
        return path.stat().st_size if path.is_file() else 0

    def outdated(self, digests: Collection[str]) -> list[str]:
        """Checksums of partial files that are not among `digests`, those of the repository now."""
        begun = (self.folder / "blobs").glob(f"*{disk.PARTIAL}")
        found = [path.name.removesuffix(disk.PARTIAL) for path in begun]
        return [digest for digest in found if digest not in digests]

    def free(self) -> int:
        """Free bytes on the cache's disk.

        Raises:
            OSError: the system does not tell.
        """
        return disk.free_space(self.root)


def repo_cache(repo: str) -> RepoCache:
    """A repository in the cache: in HF_HUB_CACHE, HF_HOME or the usual folder.

    Raises:
        SettingsError: a variable of the environment is wrong.
    """
    check_numbers()
    from huggingface_hub.constants import HF_HUB_CACHE

    return RepoCache(Path(HF_HUB_CACHE), repo)


def unwritable(cache: RepoCache, error: OSError) -> ModelError:
    """The error for a cache that cannot be written."""
    return ModelError(
        f"Cannot write to the hub's cache in {cache.root}: {error.strerror or error}. HF_HOME "
        "names another folder."
    )


def cached(wanted: RepoFile) -> Path | None:
    """The file in the cache, of the newest snapshot that has all its shards; None if none has."""
    for snapshot in repo_cache(wanted.repo).snapshots(wanted.revision):
        paths = [path for path in snapshot.rglob("*.gguf") if path.is_file()]
        try:
            names = pick_files(wanted, [path.relative_to(snapshot).as_posix() for path in paths])
        except ModelError:
            continue
        return snapshot / names[0]
    return None


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A GGUF file in the cache: its repository, its name there, its bytes, its links."""

    repo: str
    name: str
    size: int
    paths: tuple[Path, ...]  # one for each commit that has it

    def __str__(self) -> str:
        return f"{self.repo}/{self.name}"


def cached_files() -> list[CachedFile]:
    """All GGUF files in the cache, by their names."""
    root = repo_cache("").root
    found: dict[tuple[str, str], list[Path]] = {}
    for folder in root.glob("models--*--*"):
        repo = folder.name.removeprefix("models--").replace("--", "/", 1)
        for path in (folder / "snapshots").glob("*/**/*.gguf"):
            if path.is_file():
                name = path.relative_to(folder / "snapshots")
                found.setdefault((repo, Path(*name.parts[1:]).as_posix()), []).append(path)
    return [
        CachedFile(repo, name, paths[0].stat().st_size, tuple(paths))
        for (repo, name), paths in sorted(found.items())
    ]


def remove_cached(file: CachedFile) -> None:
    """Remove a file from the cache: its links, and its bytes if no other link leads to them.

    Raises:
        OSError: it cannot be removed.
    """
    folder = repo_cache(file.repo).folder
    blobs = {path.resolve() for path in file.paths}
    for path in file.paths:
        path.unlink()
    used = {path.resolve() for path in (folder / "snapshots").glob("*/**/*") if path.is_symlink()}
    for blob in blobs - used:
        if blob.parent == (folder / "blobs").resolve():
            blob.unlink(missing_ok=True)


def _symlink(blob: Path, path: Path) -> bool:
    """Make a symbolic link, replacing an old one; False if it fails, as on most Windows."""
    from huggingface_hub import constants

    if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
        return False
    try:
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))
    except FileExistsError:  # another process made it meanwhile
        return True
    except OSError:
        return False
    return True
