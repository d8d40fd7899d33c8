"""Our files in another program's folders: whole or not there, and only ours are removed.

A manifest lists our files with size and time of change; a file that differs belongs to someone
else. After a power loss at any step, the same call goes on:

1. the manifest claims the names;
2. the files are linked or copied beside their names, with an ending that no app lists;
3. the manifest takes their sizes and times;
4. they get their names.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from relay_gguf import disk
from relay_gguf.disk import lock
from relay_gguf.errors import SettingsError, StoreError

from .manifest import InstallState, OwnedFile, marks_of, read, write


class InstallResult(Enum):
    """How a file got to its place, or why not."""

    LINKED = "linked"
    COPIED = "copied"
    WRITTEN = "wrote"
    THERE = "there"
    FOREIGN = "left"


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file to install: a link to `source` or a copy of it, or the bytes in `source`.

    The `n_folders` above it are removed with it, once they are empty. An `optional` file is left
    out where someone else's file has its place.
    """

    path: Path
    source: Path | bytes
    n_folders: int = 0
    optional: bool = False


def install(
    wanted: Sequence[WantedFile],
    manifest: Path,
    *,
    copy: bool = False,
    on_copy: Callable[[Path, int], None] = lambda path, size: None,
) -> list[InstallResult]:
    """Put files in their places, but for those that are there already; the result of each.

    Args:
        wanted: the files. The shards of a model in order: the first one appears last.
        manifest: the list of our files.
        copy: never link.
        on_copy: is called before each copy, with its source and bytes.

    Raises:
        SettingsError: someone else's file has one of the names. Nothing was done.
        StoreError: the disk is full or cannot be written, or another process installs. Files
            without their final names are removed again.
    """
    with _locked(manifest):
        owned = read(manifest)
        done = {item.path: _look(item, owned.get(item.path)) for item in wanted}
        todo = [item for item in wanted if done[item.path] is None]
        if todo:
            done |= _put(todo, owned, manifest, copy, on_copy)
        touched = [
            replace(entry, marks=marks_of(path))
            for path, entry in owned.items()
            if done.get(path) is InstallResult.THERE
            and entry.marks
            and entry.state is InstallState.CHANGED
        ]
        if touched:
            write(manifest, owned | {entry.path: entry for entry in touched})
    return [found for item in wanted if (found := done[item.path])]


def uninstall(paths: Iterable[Path], manifest: Path) -> dict[Path, tuple[InstallState, int]]:
    """Remove files of ours that were not changed, and folders that are empty then.

    Returns:
        The state of each file, and the bytes that are free now: 0 while other links to it exist.

    Raises:
        StoreError: a file cannot be removed, or another process installs.
    """
    removed: dict[Path, tuple[InstallState, int]] = {}
    with _locked(manifest):
        owned = read(manifest)
        try:
            for entry in [owned[path] for path in paths if path in owned]:
                disk.partial(entry.path).unlink(missing_ok=True)
                state, size = entry.state, 0
                if state is InstallState.SAME:
                    found = entry.path.stat()
                    entry.path.unlink()
                    size = found.st_size if found.st_nlink == 1 else 0
                if state is not InstallState.CHANGED:
                    disk.remove_empty(list(entry.path.parents)[: entry.n_folders])
                    del owned[entry.path]
                removed[entry.path] = state, size
        finally:
            write(manifest, owned)
    return removed


def _look(item: WantedFile, entry: OwnedFile | None) -> InstallResult | None:
    """The result for a file that is there already; None for one that has to be put there.

    Raises:
        SettingsError: someone else's file is there.
    """
    if not os.path.lexists(item.path):
        return None
    if _is_same(item, entry):
        return InstallResult.THERE
    if entry and entry.state is InstallState.SAME:
        return None
    if item.optional:
        return InstallResult.FOREIGN
    why = "was changed since it was installed" if entry and entry.marks else "is another file"
    raise SettingsError(f"{item.path} {why}. Move it away, or choose another --repo.")


def _is_same(item: WantedFile, entry: OwnedFile | None) -> bool:
    """Whether the file that exists is the wanted one."""
    if not item.path.is_file():
        return False
    if isinstance(item.source, bytes):
        size = item.path.stat().st_size
        return size == len(item.source) and item.path.read_bytes() == item.source
    if item.path.samefile(item.source):
        return True
    if (
        entry
        and marks_of(item.path) == marks_of(item.source) != ()
        and entry.state is InstallState.SAME
    ):
        return True  # a copy has its source's time; so gigabytes need not be read
    return filecmp.cmp(item.path, item.source, shallow=False)


def _put(
    items: Sequence[WantedFile],
    owned: dict[Path, OwnedFile],
    manifest: Path,
    copy: bool,
    on_copy: Callable[[Path, int], None],
) -> dict[Path, InstallResult]:
    """Take the four steps; `owned` has our files afterwards."""
    before = {item.path: owned.get(item.path) for item in items}
    claims = {
        item.path: before[item.path] or OwnedFile(item.path, (), item.n_folders) for item in items
    }
    folders: list[Path] = []
    try:
        owned |= claims
        write(manifest, owned)
        for item in items:
            folders = disk.make_folders(item.path.parent) + folders
        hows = _place(items, copy, on_copy)
        new = {path: marks_of(disk.partial(path)) for path in claims}
        owned |= {path: replace(old, marks=old.marks + new[path]) for path, old in claims.items()}
        write(manifest, owned)
        for path in reversed(claims):
            if claims[path].state is InstallState.CHANGED:
                raise SettingsError(f"{path} appeared meanwhile. It was left as it is.")
            disk.partial(path).replace(path)
            before[path] = owned[path] = replace(claims[path], marks=new[path])
        for folder in {path.parent for path in claims}:
            disk.sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            for path, entry in before.items():
                disk.partial(path).unlink(missing_ok=True)
                owned.pop(path)
                owned |= {path: entry} if entry else {}
            disk.remove_empty(folders)
            write(manifest, owned)
        raise
    if any(claim.marks for claim in claims.values()):
        write(manifest, owned)
    return hows


def _place(
    items: Sequence[WantedFile], copy: bool, on_copy: Callable[[Path, int], None]
) -> dict[Path, InstallResult]:
    """Link, copy or write files under temporary names.

    Raises:
        StoreError: the disk has not enough room for the copies.
    """
    hows = {}
    copies: list[tuple[Path, Path, int]] = []
    for item in items:
        place = disk.partial(item.path)
        place.unlink(missing_ok=True)  # a power loss left it
        if isinstance(item.source, bytes):
            disk.write_new(place, item.source)
            hows[item.path] = InstallResult.WRITTEN
        elif not copy and disk.link(item.source, place):
            hows[item.path] = InstallResult.LINKED
        else:
            copies.append((item.source, place, item.source.stat().st_size))
            hows[item.path] = InstallResult.COPIED
    if copies:
        folder, size = copies[0][1].parent, sum(size for *_, size in copies)
        if size > (free := disk.free_space(folder)):
            raise StoreError(
                f"Copying takes {size:,} bytes, and {free:,} are free in {folder}. Make room."
            )
    for source, place, size in copies:
        on_copy(source, size)
        disk.write_new(place, source)
    return hows


@contextmanager
def _locked(manifest: Path) -> Iterator[None]:
    """Keep other processes from installing, and turn the system's errors into a StoreError."""
    try:
        manifest.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with manifest.with_suffix(".lock").open("ab") as file:
            if not lock(file):
                raise StoreError("Another relay-gguf is installing files. Wait until it is done.")
            yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise StoreError(f"Cannot read or write{where}: {error.strerror or error}.") from error
