"""The measured bandwidth is kept for the hardware, and measured again while it was busy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from homeless import CacheFolder

from relay_gguf.disk import PARTIAL
from relay_gguf.folders import cache_file
from relay_gguf.machine import measurement
from relay_gguf.machine.bandwidth import Bandwidth
from relay_gguf.machine.cpu import cpu_model, physical_cores
from relay_gguf.machine.measurement import Hardware, Kept, keep, kept_path, read_kept

HERE = Hardware("desk", "AMD Ryzen 5 5600", 12, 6, 32 << 30)


class Machine:
    """A machine, `HERE` at first: the bandwidths that are measured next, and its clock."""

    def __init__(self) -> None:
        self.next: list[Bandwidth] = []
        self.now = 1.8e9
        self.hardware = HERE
        self.file: Callable[[], Path | None] = kept_path

    def measured(self, *, anew: bool = False) -> Bandwidth:
        """The bandwidth that is told now."""
        return measurement.measured(
            anew=anew,
            hardware=self.hardware,
            measure=lambda _: self.next.pop(0),
            clock=lambda: self.now,
            file=self.file,
        )

    def later(self) -> Bandwidth:
        """The bandwidth that is told a minute later."""
        self.now += 60
        return self.measured()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def path() -> Path:
    found = kept_path()
    assert found is not None
    return found


def kept() -> dict[Hardware, Bandwidth]:
    return {hardware: entry.found for hardware, entry in read_kept(path()).items()}


def quiet(gigabytes: float) -> Bandwidth:
    return Bandwidth(gigabytes * 1e9)


def busy(gigabytes: float) -> Bandwidth:
    return Bandwidth(gigabytes * 1e9, busy=True)


def test_a_quiet_machine_is_measured_three_times(machine: Machine) -> None:
    machine.next += [quiet(13), quiet(21), quiet(20)]
    assert [machine.measured() for _ in range(3)] == [quiet(13)] * 3, "once, in a row"
    assert [machine.later() for _ in range(5)] == [quiet(21)] * 5
    assert machine.next == []
    assert json.loads(path().read_text()) == {
        "format": 1,
        "measured": [
            {
                "host": "desk",
                "cpu": "AMD Ryzen 5 5600",
                "cpus": 12,
                "cores": 6,
                "ram": 32 << 30,
                "rate": 21e9,
                "busy": False,
                "tries": 3,
                "when": 1.8e9 + 120,
            }
        ],
    }


def test_a_clock_that_was_set_back(machine: Machine) -> None:
    machine.next += [quiet(20), quiet(21)]
    machine.measured()
    machine.now -= 1e6
    assert [machine.measured(), machine.measured()] == [quiet(21)] * 2


@pytest.mark.parametrize(
    ("then", "taken"),
    [
        (busy(25), busy(30)),
        (busy(35), busy(35)),
        (quiet(25), quiet(25)),
        (quiet(35), quiet(35)),
    ],
)
def test_a_busy_one_is_measured_again(machine: Machine, then: Bandwidth, taken: Bandwidth) -> None:
    machine.next += [busy(30), then]
    assert [machine.measured(), machine.measured()] == [busy(30)] * 2
    assert machine.later() == taken
    assert kept() == {HERE: taken}


def test_busy_as_long_as_it_is(machine: Machine) -> None:
    machine.next += [busy(30)] * 9 + [quiet(25), busy(20), busy(28), quiet(26), quiet(27)]
    assert [machine.later() for _ in range(9)] == [busy(30)] * 9
    assert [machine.later() for _ in range(7)] == [quiet(n) for n in (25, 25, 28, 28, 28, 28, 28)]
    assert machine.next == [], "three quiet ones"


def test_measuring_anew_replaces_the_kept_bandwidth(machine: Machine) -> None:
    machine.next += [quiet(40), busy(30)]
    machine.measured()
    assert machine.measured(anew=True) == busy(30)
    assert machine.measured() == busy(30)


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "laptop"},
        {"cpu": "AMD Ryzen 9 9950X"},
        {"cpus": 4},
        {"cores": 2},
        {"ram": 64 << 30},
    ],
)
def test_other_hardware_is_measured_and_both_are_kept(
    machine: Machine, changed: dict[str, Any]
) -> None:
    other = replace(HERE, **changed)
    machine.next += [quiet(40), quiet(50)]
    assert machine.measured() == quiet(40)
    machine.hardware = other
    assert [machine.measured(), machine.measured()] == [quiet(50)] * 2
    assert kept() == {HERE: quiet(40), other: quiet(50)}


def test_the_oldest_entries_are_dropped(tmp_path: Path) -> None:
    file, entry = tmp_path / "bandwidth.json", Kept(quiet(40), 1, 1.8e9)
    for number in range(measurement.MOST + 3):
        keep(file, replace(HERE, host=str(number)), entry)
    keep(file, replace(HERE, host="9"), entry)
    hosts = [of.host for of in read_kept(file)]
    assert hosts == [*(str(n) for n in range(3, measurement.MOST + 3) if n != 9), "9"]


ENTRY = (
    '"when": 1e9, "host": "desk", "cpu": "AMD Ryzen 5 5600", "cpus": 12, "cores": 6, '
    '"ram": 34359738368, "tries": 1'
)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'{"format": 2, "measured": []}',
        b'{"format": 1}',
        b'{"format": 1, "measured": {"a": 1}}',
        b'{"format": 1, "measured": [1, null, {}, {"host": "desk"}]}',
        *(
            f'{{"format": 1, "measured": [{{{ENTRY}, {end}}}]}}'.encode()
            for end in (
                '"rate": 4e10',
                '"rate": "fast", "busy": false',
                '"rate": true, "busy": false',
                '"rate": NaN, "busy": false',
                '"rate": -4e10, "busy": false',
                '"rate": 1e300, "busy": false',
                '"rate": 4e10, "busy": "no"',
                '"rate": 4e10, "busy": false, "cpu": ["AMD"]',
                '"rate": 4e10, "busy": false, "ram": 1.5',
                '"rate": 4e10, "busy": false, "tries": true',
                '"rate": 4e10, "busy": false, "when": "today"',
            )
        ),
    ],
)
def test_a_damaged_file_is_written_anew(machine: Machine, text: bytes) -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    path().write_bytes(text)
    machine.next.append(quiet(50))
    assert [machine.measured(), machine.measured()] == [quiet(50)] * 2
    assert kept() == {HERE: quiet(50)}
    assert not list(path().parent.glob(f"*{PARTIAL}"))


def test_where_nothing_can_be_kept(machine: Machine, tmp_path: Path) -> None:
    """A file in the folder's place keeps root out too."""
    (tmp_path / "closed").touch()
    closed = CacheFolder(tmp_path / "closed" / "relay-gguf")
    machine.file = lambda: cache_file("bandwidth.json", closed)
    machine.next += [quiet(40), quiet(41)]
    assert [machine.measured(), machine.measured()] == [quiet(40), quiet(41)]


def test_without_a_home_folder_nothing_is_kept(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    machine.next += [quiet(40), quiet(41)]
    error = RuntimeError("Could not determine home directory.")
    machine.file = lambda: cache_file("bandwidth.json", CacheFolder(Path("~/.cache/x")))
    assert machine.measured() == quiet(40)
    machine.file = lambda: cache_file("bandwidth.json", CacheFolder(error))
    assert machine.measured() == quiet(41)
    assert set(tmp_path.rglob("*")) == before


def test_the_hardware_of_this_machine(tmp_path: Path) -> None:
    found = measurement.this_hardware()
    assert found == measurement.this_hardware()
    assert found.cpu
    assert 0 < found.cores == physical_cores() <= found.cpus
    assert found.ram % measurement.RAM_STEP == 0
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 7R13\n\nprocessor\t")
    if sys.platform == "linux":
        assert cpu_model(tmp_path) == "AMD EPYC 7R13"
