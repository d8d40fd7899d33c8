"""How fast RAM is read: made-up slices of made-up threads, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from relay_gguf.machine import bandwidth
from relay_gguf.machine.bandwidth import Slices, moments, of_all, ram_bandwidth
from relay_gguf.machine.cpu import cores, usable_cpus


def slices(*noted: tuple[float, float, float]) -> Slices:
    """Milliseconds: start, end, how long the thread ran."""
    return Slices(*(np.array(noted) / 1e3).T)


def test_only_moments_at_which_all_threads_ran_count() -> None:
    """The second thread loses its core in its second slice, and has nothing to read at the end."""
    one = slices((0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1))
    two = slices((0, 1, 1), (1, 2.9, 0.8), (2.9, 3.4, 0.5))
    counts, rates = moments([one, two], 1000)
    assert counts.tolist() == [2, 1, 1, 1, 2, 2]
    assert (rates / 1e6).round(3).tolist() == [2, 1, 1, 1, 2, 3]


def seen(*levels: tuple[int, float], each: int = 50) -> Any:
    """Moments: how many threads ran, and what they read together."""
    return np.repeat(np.array(levels, dtype=float).T, each, axis=1)


@pytest.mark.parametrize(
    ("found", "n_threads", "rate"),
    [
        pytest.param(seen((1, 10), (2, 18)), 2, 18, id="as they were together"),
        pytest.param(seen((2, 18), (1, 99)), 2, 18, id="one alone says nothing"),
        pytest.param(seen((4, 40), (5, 50), (6, 60)), 8, 80, id="the cores set the pace"),
        pytest.param(seen((4, 60), (5, 60), (6, 60)), 8, 60, id="the RAM does"),
        pytest.param(seen((4, 60), (5, 60), (6, 50)), 8, 50, id="never less for more threads"),
        pytest.param(seen((5, 50)), 8, 50, id="always as few"),
        pytest.param(seen((5, 50), (6, 60), each=3), 8, 60, id="hardly anything"),
        pytest.param(
            np.concatenate([seen((1, 12)), seen((2, 20), each=9)], axis=1), 2, 20, id="few moments"
        ),
        pytest.param(np.zeros((2, 0)), 8, 0, id="nothing"),
    ],
)
def test_the_rate_of_all_threads_is_extrapolated(found: Any, n_threads: int, rate: float) -> None:
    assert of_all(found, n_threads) == pytest.approx(rate)


def test_neither_the_peak_nor_what_is_slowed() -> None:
    rates = np.array([1.0] * 60 + [20.0] * 138 + [90.0] * 2)
    assert of_all(np.stack([np.full(len(rates), 2.0), rates]), 2) == 20


def test_the_bandwidth_of_this_machines_ram() -> None:
    allowed, before = usable_cpus(), psutil.Process().memory_info().rss
    assert 1e7 < ram_bandwidth(1, seconds=0.02).rate < 1e13
    assert psutil.Process().memory_info().rss < before + bandwidth.BUFFER // 2
    little = 100 << 20
    assert ram_bandwidth(2, seconds=0.02, available=little).rate > 1e7
    coarse = ram_bandwidth(2, seconds=0.02, available=little, pinned=False, fine_clock=False)
    assert coarse.rate > 1e7
    assert usable_cpus() == allowed, "only the threads that read are held on a CPU"


@pytest.mark.parametrize(
    ("others", "quota", "busy"), [(0.0, None, False), (1.5, None, True), (1.5, 2, False)]
)
def test_busy_is_what_other_programs_use(others: float, quota: int | None, busy: bool) -> None:
    """In a container with a quota, other programs may be anywhere."""
    used, clock, own = iter([100.0, 100.0 + 10 + others * 10]), iter([0.0, 10.0]), iter([0.0, 10.0])
    cores_since = bandwidth.other_cores(
        used=lambda: next(used),
        quota=lambda: quota,
        clock=lambda: next(clock),
        own=lambda: next(own),
    )
    assert (cores_since() > bandwidth.OTHERS * 2) == busy


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    """Two cores of two threads each, of which this process may use three."""
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings)
    assert cores({1, 2, 3}, tmp_path) == [1, 2]
