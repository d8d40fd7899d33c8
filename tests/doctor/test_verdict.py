"""The verdict is kept for this machine, library and driver, and asked anew for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from device_results import AMX_DIES, GPU_DIES, PLAIN_WORKS, WORKS
from homeless import CacheFolder

from relay_gguf.doctor import verdict as kept
from relay_gguf.doctor.fingerprint import DRIVERS, fingerprint
from relay_gguf.doctor.result import PLAIN_CPU, Verdict
from relay_gguf.folders import cache_file


class Machine:
    """A machine with a file of verdicts; what its self-test finds, and how often it was run."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.drivers: Sequence[str] = DRIVERS
        self.n_asked = 0

    def verdict(self) -> Verdict:
        """The verdict, as a new process sees it."""
        return kept.kept_or_asked(self.file, fingerprint(self.drivers), self._ask)

    def _ask(self) -> Verdict:
        self.n_asked += 1
        return Verdict((AMX_DIES, PLAIN_WORKS, GPU_DIES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where verdicts are kept; neither the file nor its folder is there."""
    return tmp_path / "cache" / "selftest.json"


@pytest.fixture
def machine(file: Path) -> Machine:
    return Machine(file)


def test_the_verdict_is_asked_once(machine: Machine) -> None:
    first = machine.verdict()
    assert machine.verdict() == first
    assert first.broken == {"CUDA0"}
    assert machine.n_asked == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"KEY": 3}', b'{"KEY": {}}', b"\xff\xfe"])
def test_a_damaged_file_is_asked_anew(machine: Machine, file: Path, damage: bytes) -> None:
    machine.verdict()
    file.write_bytes(damage.replace(b"KEY", fingerprint().encode()))
    assert machine.verdict().processor == PLAIN_CPU
    assert machine.n_asked == 2
    machine.verdict()
    assert machine.n_asked == 2


@pytest.mark.parametrize(
    "change", ["another machine", "a new library", "a new driver", "a variable"]
)
def test_something_else_is_asked_anew(
    machine: Machine, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    driver.write_text("NVRM version: 570", "utf-8")
    library = tmp_path / "llama" / "libllama.so"
    library.parent.mkdir()
    library.write_bytes(b"old")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(library.parent))
    machine.drivers = (str(driver),)
    machine.verdict()
    if change == "another machine":
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
    elif change == "a new library":
        library.write_bytes(b"newer")
    elif change == "a new driver":
        driver.write_text("NVRM version: 580", "utf-8")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    machine.verdict()
    assert machine.n_asked == 2


def test_a_home_folder_that_serves_two_machines_keeps_both(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "one", "two"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        machine.verdict()
    assert machine.n_asked == 2


def test_a_folder_that_cannot_be_written_is_no_error(machine: Machine, file: Path) -> None:
    file.parent.write_bytes(b"")  # a file in the folder's place
    assert machine.verdict().processor == PLAIN_CPU


@pytest.mark.parametrize(
    "found", [RuntimeError("no home"), OSError("no home"), Path("~/.cache/relay-gguf")]
)
def test_a_user_without_a_home_is_asked_each_time(found: Exception | Path) -> None:
    machine = Machine(cache_file("selftest.json", CacheFolder(found)))
    for _ in range(2):
        assert machine.verdict().processor == PLAIN_CPU
    assert machine.n_asked == 2


def test_what_may_be_otherwise_next_time_is_not_kept(file: Path) -> None:
    for found in (
        Verdict(trouble="a library is missing"),
        Verdict(fatal="it died of SIGILL while loading its library"),
        Verdict((replace(WORKS, outcome="silent", detail=" at loading of Q8_0"),)),
        Verdict((replace(GPU_DIES, outcome="silent", detail="SIGKILL at loading of Q8_0"),)),
    ):
        kept.keep(file, "key", found)
        assert kept.looked_up(file, "key") is None


def test_it_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SELFTEST", "0")
    kept.verdict.cache_clear()
    assert kept.verdict() == Verdict()
