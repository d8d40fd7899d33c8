"""Our files in another program's folders: there whole or not at all, and only ours are removed.

A manifest says what is ours, by size and time of change; what is no longer so belongs to someone
else. Whichever step is the last one before a power loss, the same call goes on from there:

1. the manifest claims the names;
2. the files are linked or copied beside their names, with an ending that no app lists;
3. the manifest takes their sizes and times;
4. they get their names.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from relay_gguf import disk
from relay_gguf.disk import lock
from relay_gguf.errors import SettingsError, StoreError

VERSION: Final = 1


class State(Enum):
    """How a file is that we installed."""

    SAME = "ok"
    CHANGED = "changed"
    MISSING = "missing"


class Done(Enum):
    """What became of a file that was to be installed."""

    LINKED = "linked"
    COPIED = "copied"
    WRITTEN = "wrote"
    THERE = "there"
    FOREIGN = "left"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a file is known by."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Owned:
    """A file of ours; while it is being replaced, it has the marks of both."""

    path: Path
    marks: tuple[Mark, ...]
    n_folders: int

    @property
    def state(self) -> State:
        """Whether it is there, and as we left it."""
        if not os.path.lexists(self.path):
            return State.MISSING
        return State.SAME if set(_marks(self.path)) & set(self.marks) else State.CHANGED


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to install: a link to `source` or a copy of it, or these bytes.

    The `n_folders` above it are removed with it, once they are empty. Where someone else's file is
    in the place of an `optional` one, that one stays.
    """

    path: Path
    source: Path | bytes
    n_folders: int = 0
    optional: bool = False


def install(
    wanted: Sequence[Wanted],
    manifest: Path,
    *,
    copy: bool = False,
    on_copy: Callable[[Path, int], None] = lambda path, size: None,
) -> list[Done]:
    """Put files in their places; nothing is done where they are there already.

    Args:
        wanted: the files. Those of a split model in order: its first part appears last.
        manifest: remembers what is ours.
        copy: never link.
        on_copy: is told of each copy before it is made, with its size.

    Raises:
        SettingsError: someone else's file has one of the names. Nothing was done.
        StoreError: the disk is full or not writable, or another process installs. What has no
            name yet is taken back.
    """
    with _locked(manifest):
        owned = read(manifest)
        done = {item.path: _look(item, owned.get(item.path)) for item in wanted}
        todo = [item for item in wanted if done[item.path] is None]
        if todo:
            done |= _put(todo, owned, manifest, copy, on_copy)
        touched = [
            replace(entry, marks=_marks(path))
            for path, entry in owned.items()
            if done.get(path) is Done.THERE and entry.marks and entry.state is State.CHANGED
        ]
        if touched:
            _write(manifest, owned | {entry.path: entry for entry in touched})
    return [found for item in wanted if (found := done[item.path])]


def uninstall(paths: Iterable[Path], manifest: Path) -> dict[Path, tuple[State, int]]:
    """Remove files of ours that are the same still, and folders that are empty then.

    Returns:
        How each was, and the bytes that are free now: none while others are linked to it.

    Raises:
        StoreError: one cannot be removed, or another process installs.
    """
    removed: dict[Path, tuple[State, int]] = {}
    with _locked(manifest):
        owned = read(manifest)
        try:
            for entry in [owned[path] for path in paths if path in owned]:
                disk.partial(entry.path).unlink(missing_ok=True)
                state, size = entry.state, 0
                if state is State.SAME:
                    found = entry.path.stat()
                    entry.path.unlink()
                    size = found.st_size if found.st_nlink == 1 else 0
                if state is not State.CHANGED:
                    disk.remove_empty(list(entry.path.parents)[: entry.n_folders])
                    del owned[entry.path]
                removed[entry.path] = state, size
        finally:
            _write(manifest, owned)
    return removed


def read(manifest: Path) -> dict[Path, Owned]:
    """What is ours, by path.

    Raises:
        StoreError: the manifest is damaged, or of a newer version.
    """
    try:
        saved = json.loads(manifest.read_text("utf-8"))
        if saved["version"] > VERSION:
            raise StoreError(f"{manifest} is of a newer relay-gguf. Update this one.")
        entries = [
            Owned(
                Path(entry["path"]),
                tuple(Mark(int(size), int(mtime)) for size, mtime in entry["marks"]),
                int(entry["n_folders"]),
            )
            for entry in saved["files"]
        ]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"Cannot read {manifest}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(
            f"{manifest} is damaged, so it is not known which files are ours. Move it away, and "
            "remove by hand what you do not want."
        ) from error
    return {entry.path: entry for entry in entries}


def _look(item: Wanted, entry: Owned | None) -> Done | None:
    """Whether a file is there already; None where it has to be put.

    Raises:
        SettingsError: someone else's is.
    """
    if not os.path.lexists(item.path):
        return None
    if _is_same(item, entry):
        return Done.THERE
    if entry and entry.state is State.SAME:
        return None
    if item.optional:
        return Done.FOREIGN
    why = "was changed since it was installed" if entry and entry.marks else "is another file"
    raise SettingsError(f"{item.path} {why}. Move it away, or choose another --repo.")


def _is_same(item: Wanted, entry: Owned | None) -> bool:
    """Whether what is there is what is wanted."""
    if not item.path.is_file():
        return False
    if isinstance(item.source, bytes):
        size = item.path.stat().st_size
        return size == len(item.source) and item.path.read_bytes() == item.source
    if item.path.samefile(item.source):
        return True
    if entry and _marks(item.path) == _marks(item.source) != () and entry.state is State.SAME:
        return True  # a copy has its source's time; so gigabytes need not be read
    return filecmp.cmp(item.path, item.source, shallow=False)


def _put(
    items: Sequence[Wanted],
    owned: dict[Path, Owned],
    manifest: Path,
    copy: bool,
    on_copy: Callable[[Path, int], None],
) -> dict[Path, Done]:
    """The four steps; `owned` says afterwards what is ours."""
    before = {item.path: owned.get(item.path) for item in items}
    claims = {
        item.path: before[item.path] or Owned(item.path, (), item.n_folders) for item in items
    }
    folders: list[Path] = []
    try:
        owned |= claims
        _write(manifest, owned)
        for item in items:
            folders = disk.make_folders(item.path.parent) + folders
        hows = _place(items, copy, on_copy)
        new = {path: _marks(disk.partial(path)) for path in claims}
        owned |= {path: replace(old, marks=old.marks + new[path]) for path, old in claims.items()}
        _write(manifest, owned)
        for path in reversed(claims):
            if claims[path].state is State.CHANGED:
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
            _write(manifest, owned)
        raise
    if any(claim.marks for claim in claims.values()):
        _write(manifest, owned)
    return hows


def _place(
    items: Sequence[Wanted], copy: bool, on_copy: Callable[[Path, int], None]
) -> dict[Path, Done]:
    """Link, copy or write files beside their names.

    Raises:
        StoreError: there is no room for the copies.
    """
    hows = {}
    copies: list[tuple[Path, Path, int]] = []
    for item in items:
        place = disk.partial(item.path)
        place.unlink(missing_ok=True)  # a power loss left it
        if isinstance(item.source, bytes):
            disk.write_new(place, item.source)
            hows[item.path] = Done.WRITTEN
        elif not copy and disk.link(item.source, place):
            hows[item.path] = Done.LINKED
        else:
            copies.append((item.source, place, item.source.stat().st_size))
            hows[item.path] = Done.COPIED
    if copies:
        folder, size = copies[0][1].parent, sum(size for *_, size in copies)
        if size > (free := shutil.disk_usage(folder).free):
            raise StoreError(f"Copying takes {size:,} bytes, and {free:,} are free in {folder}.")
    for source, place, size in copies:
        on_copy(source, size)
        disk.write_new(place, source)
    return hows


def _marks(path: Path) -> tuple[Mark, ...]:
    """What a file is known by; nothing for a folder or a symbolic link, which are never ours."""
    found = path.lstat()
    return (Mark(found.st_size, found.st_mtime_ns),) if stat.S_ISREG(found.st_mode) else ()


def _write(manifest: Path, owned: Mapping[Path, Owned]) -> None:
    files = [
        {
            "path": str(entry.path),
            "marks": [[mark.size, mark.mtime_ns] for mark in entry.marks],
            "n_folders": entry.n_folders,
        }
        for entry in owned.values()
    ]
    text = json.dumps({"version": VERSION, "files": files}, indent=1)
    disk.write_whole(manifest, text.encode())


@contextmanager
def _locked(manifest: Path) -> Iterator[None]:
    """Keep other processes from installing, and tell errors of the system as ours."""
    try:
        manifest.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with manifest.with_suffix(".lock").open("ab") as file:
            if not lock(file):
                raise StoreError("Another relay-gguf is installing files. Wait until it is done.")
            yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise StoreError(f"Cannot read or write{where}: {error.strerror or error}.") from error
