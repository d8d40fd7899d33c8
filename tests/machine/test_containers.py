"""What a container may use of a machine: made-up control groups, told by made-up files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.machine.cgroup import cpu_quota, groups
from relay_gguf.machine.devices import Ram, available_memory, ram, within

GIB = 1 << 30
NO_LIMIT_V1 = "9223372036854771712"


class Host(NamedTuple):
    """What psutil says."""

    total: int
    available: int


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A computer of 16 GiB, half of it free."""
    found = Host(16 * GIB, 8 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: found)
    return found


def proc(tmp_path: Path, cgroup: str, mounts: str, **files: str) -> Path:
    """A /proc and the control groups that it tells of; names of files with / as __, . as _dot_."""
    for name, text in files.items():
        path = tmp_path / "cg" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    (tmp_path / "self" / "mountinfo").write_text(mounts.replace("@", str(tmp_path / "cg")))
    return tmp_path


V2 = "30 23 0:26 / @ rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
V1 = (
    "35 31 0:32 / @/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / @/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "expected"),
    [
        pytest.param("", "", {}, (16, 8), id="no groups"),
        pytest.param("0::/\n", V2, {}, (16, 8), id="the root has no limits"),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{2 * GIB}\n", "memory_dot_current": f"{GIB}"},
            (2, 1),
            id="a container's own view",
        ),
        pytest.param(
            "0::/a/b\n",
            V2,
            {
                "a__b__memory_dot_max": "max",
                "a__b__memory_dot_current": "5",
                "a__memory_dot_max": f"{4 * GIB}",
                "a__memory_dot_current": f"{3 * GIB}",
            },
            (4, 1),
            id="a group above has the limit",
        ),
        pytest.param(
            "0::/a/b\n",
            V2,
            {
                "a__b__memory_dot_max": f"{6 * GIB}",
                "a__b__memory_dot_current": f"{5 * GIB}",
                "a__memory_dot_max": f"{4 * GIB}",
                "a__memory_dot_current": f"{GIB}",
            },
            (4, 1),
            id="one limits the size, the other what is left",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {
                "memory_dot_max": f"{8 * GIB}",
                "memory_dot_high": f"{3 * GIB}",
                "memory_dot_current": f"{GIB}",
            },
            (3, 2),
            id="stalled before it is killed",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {
                "memory_dot_max": f"{8 * GIB}",
                "memory_dot_current": f"{8 * GIB}",
                "memory_dot_stat": f"anon 5\nfile {7 * GIB}\nshmem {4 * GIB}\n"
                f"inactive_file {2 * GIB}\nactive_file {GIB}\n",
            },
            (8, 3),
            id="files go, shared memory stays",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{64 * GIB}", "memory_dot_current": "0"},
            (16, 8),
            id="a limit above the computer's memory",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": f"{GIB}", "memory_dot_current": f"{2 * GIB}"},
            (1, 0),
            id="over the limit",
        ),
        pytest.param(
            "4:memory:/job\n0::/\n",
            V1,
            {
                "memory__job__memory_dot_limit_in_bytes": f"{4 * GIB}",
                "memory__job__memory_dot_usage_in_bytes": f"{3 * GIB}",
                "memory__job__memory_dot_stat": f"cache {3 * GIB}\nactive_file 1\n"
                f"total_cache {3 * GIB}\ntotal_active_file {GIB}\ntotal_inactive_file {GIB}\n",
                "memory__memory_dot_limit_in_bytes": NO_LIMIT_V1,
            },
            (4, 3),
            id="v1",
        ),
        pytest.param(
            "4:memory:/docker/abc\n",
            V1.replace("/ @/memory", "/docker/abc @/memory"),
            {
                "memory__memory_dot_limit_in_bytes": f"{4 * GIB}",
                "memory__memory_dot_usage_in_bytes": f"{GIB}",
            },
            (4, 3),
            id="v1 in a container that sees its host's path",
        ),
        pytest.param(
            "0::/../sibling\n",
            V2,
            {"memory_dot_max": f"{4 * GIB}", "memory_dot_current": f"{GIB}"},
            (4, 3),
            id="a group beside the mounted one",
        ),
        pytest.param(
            "0::/\n",
            V2,
            {"memory_dot_max": "12 frogs", "memory_dot_current": ""},
            (16, 8),
            id="no number",
        ),
    ],
)
@pytest.mark.usefixtures("host")
def test_memory_within_containers(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], expected: tuple[int, int]
) -> None:
    total, available = expected
    assert ram(proc(tmp_path, cgroup, mounts, **files)) == Ram(total * GIB, available * GIB)


@given(st.lists(st.tuples(st.integers(0, 1 << 62), st.integers(0, 1 << 62)), max_size=4))
def test_a_container_never_has_more_than_the_computer(limits: list[tuple[int, int]]) -> None:
    found = within(Ram(16 * GIB, 8 * GIB), limits)
    assert 0 <= found.available <= found.total <= 16 * GIB
    assert found.available <= 8 * GIB
    assert all(found.total <= limit and found.available <= left for limit, left in limits)


def test_memory_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", hidden)
    assert ram() is None
    assert available_memory() is None


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "cpus"),
    [
        ("0::/\n", V2, {"cpu_dot_max": "200000 100000\n"}, 2),
        ("0::/\n", V2, {"cpu_dot_max": "50000 100000"}, 1),
        ("0::/\n", V2, {"cpu_dot_max": "max 100000"}, None),
        ("0::/\n", V2, {}, None),
        ("", "", {}, None),
        ("0::/a\n", V2, {"a__cpu_dot_max": "max 100000", "cpu_dot_max": "300000 100000"}, 3),
        ("0::/a\n", V2, {"a__cpu_dot_max": "200000 100000", "cpu_dot_max": "300000 100000"}, 2),
        (
            "3:cpu,cpuacct:/job\n",
            V1,
            {
                "cpu,cpuacct__job__cpu_dot_cfs_quota_us": "400000",
                "cpu,cpuacct__job__cpu_dot_cfs_period_us": "100000",
                "cpu,cpuacct__cpu_dot_cfs_quota_us": "-1",
                "cpu,cpuacct__cpu_dot_cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_cpus_within_containers(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], cpus: int | None
) -> None:
    assert cpu_quota(proc(tmp_path, cgroup, mounts, **files)) == cpus


def test_a_mount_with_a_space(tmp_path: Path) -> None:
    made = proc(tmp_path, "0::/a\n", V2.replace("@", "@/my\\040groups"))
    folder = tmp_path / "cg" / "my groups"
    assert list(groups("memory", made)) == [folder / "a", folder]
