"""Downloads files into the hub's shared cache: whole, with the right checksum, or not at all.

The hub's own library throws an interrupted download away, and compares only sizes. Here bytes go
into a partial file, which the next run continues, and through a checksum, which is compared with
the hub's before the file gets its name. One process at a time writes a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Final

from relay_gguf import disk
from relay_gguf.disk import lock
from relay_gguf.display import size
from relay_gguf.errors import ModelError

from .api import Remote, RemoteFile, UnreachableError, no_repository, remote
from .cache import FULL, RepoCache, repo_cache, unwritable
from .checksum import Checksum
from .dataset_file import pick_table
from .file import look_up, other_bytes, stream
from .repo import DATASETS, MAIN, RepoFile, pick_files
from .watcher import DeclinedError, Download, Silent, Watcher

WAITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each retry of a broken download; new bytes start the list again."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two checks whether another process is done."""


def fetch(wanted: RepoFile, watcher: Watcher | None = None) -> Path:
    """The path of a repository's file, or of its first shard; missing bytes are downloaded.

    Args:
        wanted: the repository and file.
        watcher: is asked before a download and told how far it is; None downloads in silence.

    Raises:
        DeclinedError: the watcher does not want the download.
        UnreachableError: the hub cannot be reached now; nothing was downloaded.
        ModelError: the repository or file does not exist or is not open to this user; the disk is
            full; the connection broke and stays so; or a file has a wrong checksum.
    """
    watcher = watcher or Silent()
    found, names = asked(wanted)
    _refuse_outside(wanted.repo, names, found.commit)
    files = [look_up(wanted.repo, found.commit, found.files[name]) for name in names]
    cache = repo_cache(wanted.repo)
    with _writing(cache):
        missing = [file for file in files if not _there(cache, found, file)]
        if missing:
            if not wanted.revision:  # which may be an old one, and lack files of the newest
                _remove_outdated(cache, found, files)
            download = _download(cache, found, files, missing)
            if not watcher.asks(download):
                raise DeclinedError("Nothing was downloaded.")
            done = download.total - sum(file.size for file in missing)
            for file in missing:
                _fetch_file(cache, found, file, _Steps(watcher, done, download.total))
                done += file.size
        paths = [cache.link(found.commit, file.name, file.blob) for file in files]
        with suppress(OSError):  # a cache that may only be read is one all the same
            cache.set_ref(wanted.revision or MAIN, found.commit)
    return paths[0]


def asked(wanted: RepoFile) -> tuple[Remote, tuple[str, ...]]:
    """A repository, and the names in it of the wanted file or its shards, in order.

    Raises:
        ModelError: there is no such repository or file, or it is not open to this user.
    """
    found = remote(wanted.repo, wanted.revision)
    if found is None:
        raise no_repository(str(wanted), wanted.repo)
    pick = pick_table if wanted.repo.startswith(DATASETS) else pick_files
    return found, pick(wanted, found.files)


def _there(cache: RepoCache, found: Remote, file: RemoteFile) -> bool:
    return cache.has(found.commit, file.name, file.blob, file.size)


def _refuse_outside(repo: str, names: Sequence[str], commit: str) -> None:
    """Refuse names of the hub that, as paths, would lead out of the cache.

    Raises:
        ModelError: a name is absolute or of a drive, has a `..` or a backslash in it, or is empty.
    """
    for name in (*names, commit):
        path = PureWindowsPath(name)  # whose rules are the stricter ones
        if not name or path.anchor or ".." in path.parts or "\\" in name:
            raise ModelError(
                f"{repo} has a file named {name!r}, which cannot be a file's name here."
            )


def _remove_outdated(cache: RepoCache, found: Remote, files: Sequence[RemoteFile]) -> None:
    """Remove partial files whose repository has other files by now."""
    known = {file.blob for file in (*found.files.values(), *files)}
    for digest in cache.outdated(known):
        with _locked(cache.lock(digest)) as taken:
            if taken:
                cache.partial(digest).unlink(missing_ok=True)


def _download(
    cache: RepoCache, found: Remote, files: Sequence[RemoteFile], missing: Sequence[RemoteFile]
) -> Download:
    """The download of the missing files.

    Raises:
        ModelError: the disk has too little free space.
    """
    n_bytes = sum(max(0, file.size - cache.partial_size(file.blob)) for file in missing)
    free = cache.free()
    if n_bytes > free:
        raise _no_room(cache, files[0].name, n_bytes)
    names = tuple(file.name for file in files)
    total = sum(file.size for file in files)
    return Download(
        repo=cache.repo,
        files=names,
        total=total,
        missing=n_bytes,
        free=free,
        licence=found.licence,
        gated=found.gated,
    )


def _no_room(cache: RepoCache, name: str, n_bytes: int) -> ModelError:
    return ModelError(
        f"{name} needs {size(n_bytes)} more, and {size(cache.free())} are free in {cache.root}. "
        "Free some space, or set HF_HOME to a folder on another disk. Downloaded bytes are kept."
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """Tells a watcher the progress of the whole download, given that of one file."""

    watcher: Watcher
    before: int
    total: int

    def checking(self, done: int) -> None:
        self.watcher.checking(self.before + done, self.total)

    def progress(self, done: int) -> None:
        self.watcher.progress(self.before + done, self.total)


class _Growing:
    """A partial file, with the checksum of its bytes so far."""

    def __init__(self, path: Path, wanted: RemoteFile) -> None:
        self._wanted = wanted
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")  # writes at the end only, whatever was read
        self._begin()

    def _begin(self) -> None:
        self.checksum = Checksum(self._wanted.sha256 or self._wanted.blob, self._wanted.size)
        self.size = 0

    def resume(self, on_size: Callable[[int], None]) -> None:
        """Read the bytes that are there; a file that is too long is emptied."""

        def count(n_bytes: int) -> None:
            self.size += n_bytes
            on_size(self.size)

        self._file.seek(0)
        self.checksum.add_file(self._file, count)
        if self.size > self._wanted.size:
            self.restart()

    def restart(self) -> None:
        """Empty the file."""
        self._file.truncate(0)
        self._begin()

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self.checksum.add(data)
        self.size += len(data)

    def sync(self) -> None:
        """Write all bytes down to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _fetch_file(cache: RepoCache, found: Remote, file: RemoteFile, steps: _Steps) -> None:
    """Download one file into the cache."""
    partial, blob = cache.partial(file.blob), cache.blob(file.blob)
    with _alone(cache.lock(file.blob), steps.watcher):
        if _there(cache, found, file):  # another process was quicker
            return
        growing = _Growing(partial, file)
        try:
            growing.resume(steps.checking)
            _fill(cache, found.commit, growing=growing, file=file, steps=steps)
            growing.sync()
        except OSError as error:
            if error.errno in FULL:
                raise _no_room(cache, file.name, file.size - growing.size) from error
            raise
        finally:
            with suppress(OSError):  # a full disk again; what could be written is there
                growing.close()
        if not growing.checksum.fits:
            partial.unlink()
            raise ModelError(
                f"{file.name} came damaged from {cache.repo}: its checksum is "
                f"{growing.checksum.found} and should be {growing.checksum.expected}. It was "
                "deleted: run the same command again. If that does not help, tell its owner."
            )
        partial.replace(blob)
        disk.sync_folder(blob.parent)


def _fill(
    cache: RepoCache, commit: str, growing: _Growing, file: RemoteFile, steps: _Steps
) -> None:
    """Append the missing bytes, over as many connections as it takes.

    Raises:
        ModelError: the connection broke and stays so, or the server sends other bytes.
        OSError: the file cannot be written.
    """
    furthest, attempts = growing.size, iter(WAITS)
    while growing.size < file.size:
        why, asked = "The server stopped too early.", 0.0
        try:
            pieces = stream(cache.repo, commit, file.name, growing.size, file.size, file.size)
            _add(growing, pieces, file, steps)
        except UnreachableError as error:
            why, asked = str(error), error.wait
        if growing.size > furthest:
            furthest, attempts = growing.size, iter(WAITS)
        elif (wait := next(attempts, None)) is not None:
            time.sleep(max(wait, asked))
        else:
            raise ModelError(
                f"The download of {file.name} broke at {size(growing.size)} of {size(file.size)}: "
                f"{why} Run the same command again: it goes on from there."
            )


def _add(
    growing: _Growing, pieces: Iterator[tuple[int, bytes]], file: RemoteFile, steps: _Steps
) -> None:
    """Append the pieces of one connection.

    Raises:
        ModelError: the server sends other bytes than it was asked for.
    """
    for at, data in pieces:
        if at == 0 and growing.size:  # the server begins at 0, whatever it was asked for
            growing.restart()
        if at != growing.size or at + len(data) > file.size:
            raise other_bytes(file.name)
        growing.add(data)
        steps.progress(growing.size)


@contextmanager
def _alone(path: Path, watcher: Watcher) -> Iterator[None]:
    """Hold a lock, once no other process has it."""
    while True:
        with _locked(path) as taken:
            if taken:
                yield
                return
        watcher.waits()
        time.sleep(LOOK_AGAIN)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Take a lock; yields whether it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield lock(file)


@contextmanager
def _writing(cache: RepoCache) -> Iterator[None]:
    """Turn errors of the cache's disk into `ModelError`."""
    try:
        yield
    except OSError as error:
        raise unwritable(cache, error) from error
