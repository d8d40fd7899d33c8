"""Files in other programs' folders: only ours are touched, and each lack is told before."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from app_machine import NAMES, Machine
from small_files import no_links, tree

from relay_gguf.apps.installed import InstallResult, install, uninstall
from relay_gguf.apps.manifest import InstallState, read
from relay_gguf.disk import lock
from relay_gguf.errors import SettingsError, StoreError


def test_a_copy_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, NAMES, copy=True)
    machine.start()

    def full(source: Any, target: Any, length: int) -> None:
        target.write(source.read(2))
        raise OSError(errno.ENOSPC, "No space left on device")

    before = tree(machine.app)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StoreError, match=r"Cannot read or write .*-partial: No space left"):
        machine.install()
    assert set(tree(machine.app)) == set(before)
    assert read(machine.manifest) == {}


def test_a_disk_without_room_is_told_before_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, NAMES, copy=True)
    machine.start(b"x" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2999))
    with pytest.raises(StoreError, match="Copying takes 3,000 bytes, and 2,999 are free in"):
        machine.install()
    assert machine.files() == {}
    machine.copy = False
    assert machine.install() == [
        InstallResult.LINKED,
        InstallResult.LINKED,
        InstallResult.WRITTEN,
    ], "links need none"


def test_a_file_that_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    no_links(monkeypatch)
    path = machine.wanted[0].path

    def on_copy(source: Path, size: int) -> None:
        path.write_bytes(b"theirs too")

    with pytest.raises(SettingsError, match="appeared meanwhile"):
        install(machine.wanted, machine.manifest, on_copy=on_copy)
    assert machine.files()[path.name] == b"theirs too"
    machine.uninstall()
    assert machine.files() == {path.name: b"theirs too"}


@pytest.mark.parametrize("kind", ["file", "folder", "broken link", "link"])
def test_what_is_in_the_way_stays(tmp_path: Path, kind: str) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    path = machine.wanted[1].path
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"theirs")
    else:
        path.symlink_to(machine.theirs if kind == "link" else tmp_path / "nowhere")
    before = tree(machine.app)
    with pytest.raises(SettingsError, match=r"is another file\. Move it away, or choose another"):
        machine.install()
    assert tree(machine.app) == before, "nor are the others installed"
    machine.uninstall()
    assert tree(machine.app) == before


def test_an_optional_file_gives_way(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    path = machine.wanted[-1].path
    path.parent.mkdir()
    path.write_bytes(b"theirs")
    assert machine.install() == [InstallResult.LINKED, InstallResult.LINKED, InstallResult.FOREIGN]
    machine.uninstall()
    assert machine.files() == {path.name: b"theirs"}


def test_the_same_bytes_of_someone_else_are_not_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    for item, source in zip(machine.wanted, machine.sources, strict=False):
        item.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, item.path)
    assert machine.install() == [InstallResult.THERE, InstallResult.THERE, InstallResult.WRITTEN]
    machine.uninstall()
    assert set(machine.files()) == set(NAMES)


def test_copies_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, NAMES, copy=True)
    machine.start()
    synced: set[int] = set()
    rename = Path.replace

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)

    def replace(path: Path, target: Path) -> Path:
        assert path.stat().st_ino in synced
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    machine.install()
    assert machine.files() == machine.expected()


def test_ours_turned_into_a_link_is_not_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    machine.install()
    path = machine.wanted[0].path
    path.unlink()
    path.symlink_to(machine.sources[0])
    for _ in range(2):
        assert set(machine.install()) == {InstallResult.THERE}
        assert read(machine.manifest)[path].state is InstallState.CHANGED
    assert uninstall([path], machine.manifest) == {path: (InstallState.CHANGED, 0)}
    assert path.is_symlink()


def test_uninstalling_tells_the_bytes_that_it_frees(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    machine.install()
    machine.sources[1].unlink()
    paths = [item.path for item in machine.wanted]
    paths[2].unlink()
    assert uninstall([*paths, tmp_path / "other"], machine.manifest) == {
        paths[0]: (InstallState.SAME, 0),
        paths[1]: (InstallState.SAME, 6),
        paths[2]: (InstallState.MISSING, 0),
    }


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="Windows has no modes, root needs none"
)
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    machine.app.chmod(0o500)
    with pytest.raises(StoreError, match=r"Cannot read or write .*Permission denied"):
        machine.install()
    assert machine.files() == {}


def test_one_process_installs_at_a_time(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    machine.install()
    with machine.manifest.with_suffix(".lock").open("ab") as other:
        assert lock(other)
        for act in (machine.install, machine.uninstall):
            with pytest.raises(StoreError, match="Another relay-gguf is installing"):
                act()
    assert machine.files() == machine.expected()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"version": 1, "files": [{"path": 5}]}', "is damaged"),
        (b"\xff", "is damaged"),
        (b'{"version": 2}', "newer relay-gguf"),
    ],
)
def test_a_damaged_or_newer_manifest_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    machine = Machine(tmp_path, NAMES)
    machine.start()
    machine.manifest.parent.mkdir()
    machine.manifest.write_bytes(content)
    for act in (machine.install, machine.uninstall):
        with pytest.raises(StoreError, match=message):
            act()
    assert machine.manifest.read_bytes() == content
    assert machine.files() == {}
