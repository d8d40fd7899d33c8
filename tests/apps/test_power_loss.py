"""Whatever is interrupted: the files are whole or not there, and the next run repairs the rest."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_machine import NAMES, Machine, failing
from small_files import tree
from thorough import cases

from relay_gguf import disk
from relay_gguf.apps.installed import InstallResult
from relay_gguf.apps.manifest import InstallState, read
from relay_gguf.errors import StoreError


class PowerLossError(BaseException):
    """Nothing reaches the disk any more: neither work nor tidying up."""


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


@pytest.mark.parametrize(("names", "copy"), cases(CASES, CASES[0]))
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


@pytest.mark.parametrize("copy", cases([False, True], False))
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


@pytest.mark.parametrize("copy", cases([False, True], False))
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
