"""Files in other programs' folders: whatever is interrupted, whole or not there, and only ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_files import no_links, tree

from relay_gguf import disk
from relay_gguf.apps.installed import InstallResult, WantedFile, install, uninstall
from relay_gguf.apps.manifest import InstallState, read
from relay_gguf.disk import lock
from relay_gguf.errors import SettingsError, StoreError

NAMES = ("r-00001-of-00002.gguf", "r-00002-of-00002.gguf")


class Machine:
    """Files to install, an app's folder with a file of someone else, and the manifest."""

    def __init__(self, folder: Path, names: tuple[str, ...], copy: bool = False) -> None:
        self.sources = [folder / "mine" / name for name in names]
        self.app = folder / "app"
        self.theirs = self.app / "their" / "x.gguf"
        self.manifest = folder / "data" / "m.json"
        self.copy = copy
        self.wanted = [
            WantedFile(self.app / "p" / "r" / s.name, s, n_folders=2) for s in self.sources
        ]
        self.wanted.append(WantedFile(self.app / "presets" / "ours.json", b"{}", optional=True))

    def start(self, content: bytes = b"old", *, anew: bool = True) -> None:
        """Make the files, and with `anew` nothing is installed."""
        if anew:
            shutil.rmtree(self.app, ignore_errors=True)
            shutil.rmtree(self.manifest.parent, ignore_errors=True)
            self.theirs.parent.mkdir(parents=True)
            self.theirs.write_bytes(b"theirs")
        for number, source in enumerate(self.sources):
            source.parent.mkdir(exist_ok=True)
            source.unlink(missing_ok=True)
            source.write_bytes(content * (number + 1))

    def install(self) -> list[InstallResult]:
        return install(self.wanted, self.manifest, copy=self.copy)

    def uninstall(self) -> None:
        uninstall([item.path for item in self.wanted], self.manifest)

    def files(self) -> dict[str, bytes]:
        """What the app's folder holds besides the file of someone else."""
        assert self.theirs.read_bytes() == b"theirs"
        found = [path for path in self.app.rglob("*") if path.is_file() and path != self.theirs]
        return {path.name: path.read_bytes() for path in found}

    def expected(self) -> dict[str, bytes]:
        """What it holds when all is installed."""
        return {source.name: source.read_bytes() for source in self.sources} | {"ours.json": b"{}"}


STEPS: list[tuple[Any, str]] = [
    *((Path, name) for name in ("mkdir", "unlink", "replace", "rmdir")),
    *((os, name) for name in ("link", "utime", "fsync")),
]


class PowerLossError(BaseException):
    """Nothing reaches the disk any more: neither work nor tidying up."""


def failing(
    patch: pytest.MonkeyPatch, count: int, error: BaseException, *, once: bool
) -> list[str]:
    """After `count` steps each further one fails, or just the next. Lists those that did."""
    done = iter(range(count))
    failed: list[str] = []

    def step(original: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **options: Any) -> Any:
            if next(done, None) is None and not (once and failed):
                failed.append(original.__name__)
                raise error
            return original(*arguments, **options)

        return take

    for place, name in STEPS:
        patch.setattr(place, name, step(getattr(place, name)))
    return failed


def interrupted(act: Callable[[], object], start: Callable[[], object]) -> Iterator[int]:
    """The same from the start again and again, the power being lost one step later each time."""
    for count in range(100):
        start()
        with pytest.MonkeyPatch.context() as patch:
            failing(patch, count, PowerLossError(), once=False)
            try:
                act()
            except PowerLossError:
                pass
            else:
                assert count > 5
                return
        yield count
    raise AssertionError("it never ends")


CASES = [((NAMES[0],), False), ((NAMES[0],), True), (NAMES, False), (NAMES, True)]


@pytest.mark.parametrize(("names", "copy"), CASES)
def test_a_power_loss_while_installing_is_repaired(
    tmp_path: Path, names: tuple[str, ...], copy: bool
) -> None:
    machine = Machine(tmp_path, names, copy)
    for count in interrupted(machine.install, machine.start):
        found, whole = machine.files(), machine.expected()
        shown = {name: found[name] for name in found if not name.endswith(disk.PARTIAL)}
        assert shown.items() <= whole.items(), "nothing is half there"
        assert names[0] not in shown or set(names) <= set(shown), "the first part comes last"
        if count % 2:
            machine.uninstall()
            assert machine.files() == {}, "what was left is found"
        machine.install()
        assert machine.files() == whole
        targets = [item.path for item in machine.wanted]
        linked = [t.samefile(s) for t, s in zip(targets, machine.sources, strict=False)]
        assert copy not in linked
        before = tree(tmp_path)
        assert set(machine.install()) == {InstallResult.THERE}
        assert tree(tmp_path) == before
        machine.uninstall()
        assert machine.files() == {}
        assert not (machine.app / "p").exists()


@pytest.mark.parametrize("copy", [False, True])
def test_a_power_loss_while_replacing_is_repaired(tmp_path: Path, copy: bool) -> None:
    machine = Machine(tmp_path, NAMES, copy)

    def start() -> None:
        machine.start(b"old")
        machine.install()
        machine.start(b"newer", anew=False)

    for count in interrupted(machine.install, start):
        found = machine.files()
        for number, name in enumerate(NAMES, 1):
            assert found[name] in (b"old" * number, b"newer" * number)
        if count % 2:
            machine.uninstall()
            assert machine.files() == {}, "old or new, it is ours"
        machine.install()
        assert machine.files() == machine.expected()
        assert {entry.state for entry in read(machine.manifest).values()} == {InstallState.SAME}
        machine.uninstall()
        assert machine.files() == {}
    start()
    machine.install()
    assert {len(entry.marks) for entry in read(machine.manifest).values()} == {1}


def test_a_power_loss_while_uninstalling_is_repaired(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)

    def start() -> None:
        machine.start()
        machine.install()

    for _ in interrupted(machine.uninstall, start):
        machine.uninstall()
        assert machine.files() == {}
        assert read(machine.manifest) == {}
        assert all(source.exists() for source in machine.sources)


@pytest.mark.parametrize("copy", [False, True])
def test_an_error_takes_back_what_has_no_name_yet(tmp_path: Path, copy: bool) -> None:
    machine = Machine(tmp_path, NAMES, copy)
    messages: list[str] = []
    failed = True
    while failed:
        machine.start()
        with pytest.MonkeyPatch.context() as patch:
            error = OSError(errno.ENOSPC, "No space left")
            hits = failing(patch, len(messages), error, once=True)
            try:
                machine.install()
                messages.append("")  # it has a way around
            except StoreError as error:
                messages.append(str(error))
        failed = bool(hits)
        found = machine.files()
        assert found.items() <= machine.expected().items()
        assert set(read(machine.manifest)) == {i.path for i in machine.wanted if i.path.exists()}
        machine.install()
        assert machine.files() == machine.expected()
        machine.uninstall()
        assert machine.files() == {}
    said = [message for message in messages if message]
    assert all(m.startswith("Cannot read or write") for m in said)
    assert all(m.endswith(": No space left.") for m in said)
    assert len(said) > 10


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


def test_what_someone_puts_in_a_claimed_place_is_not_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path, NAMES)
    for _ in interrupted(machine.install, machine.start):
        if {entry.marks for entry in read(machine.manifest).values()} == {()}:
            break
    path = machine.wanted[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(machine.sources[0], path)
    machine.install()
    machine.uninstall()
    assert set(machine.files()) == {path.name}


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
