"""A container's limits for this process: those of its control groups, v1 and v2, nested too.

Linux only; elsewhere there is no /proc/self/cgroup, and so no limit. A group is bound by its own
limits and by those of every group above it, as far as they are mounted. Files and their units:
the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC = Path("/proc")
NO_LIMIT = 1 << 60
"""Bytes: a v1 limit as high as this means no limit; the kernel writes 2^63 less a page."""


def text_of(path: Path) -> str:
    """The text of a small file of the kernel, stripped; empty if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def memory_limits(proc: Path = PROC) -> Iterator[tuple[int, int]]:
    """For each group with a memory limit: the limit and the bytes left of it.

    Cached files of the group count as left, since the kernel drops them first. They are its
    active and inactive file pages: `file` of v2 and `cache` of v1 hold shared memory too,
    which can only be swapped. v2's `memory.high` counts as a limit: above it the kernel stalls the
    group, though it does not kill.
    """
    for group in groups("memory", proc):
        limit = min(_number(group / "memory.max"), _number(group / "memory.high"))
        used = _number(group / "memory.current", 0)
        if limit >= NO_LIMIT:
            limit = _number(group / "memory.limit_in_bytes")
            used = _number(group / "memory.usage_in_bytes", 0)
        if limit < NO_LIMIT:
            yield limit, min(limit, max(0, limit - used + _file_pages(group)))


def cpu_quota(proc: Path = PROC) -> int | None:
    """The number of whole CPUs in the container's quota, at least 1; None without a quota."""
    found = []
    for group in groups("cpu", proc):
        quota, _, period = text_of(group / "cpu.max").partition(" ")
        if not quota:  # v1, where -1 is no limit
            quota, period = (text_of(group / f"cpu.cfs_{n}_us") for n in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(max(1, int(quota) // int(period)))
    return min(found, default=None)


def groups(controller: str, proc: Path = PROC) -> Iterator[Path]:
    """Folders of the control groups that bound this process, the innermost first.

    Args:
        controller: `memory` or `cpu`; in v2 one tree has all controllers.
        proc: the /proc folder.
    """
    mounts = list(_mounts(controller, proc))
    for line in text_of(proc / "self" / "cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        for is_v2, root, mount in mounts:
            if is_v2 == (not controllers):
                own = _below(path, root)
                yield from (mount / folder for folder in (own, *own.parents))


def _mounts(controller: str, proc: Path) -> Iterator[tuple[bool, str, Path]]:
    """The mounts of control groups: whether v2, the group that is mounted, the folder."""
    for line in text_of(proc / "self" / "mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        place = fields.split(" ")
        v1 = kind == "cgroup" and controller in options.rpartition(" ")[2].split(",")
        if len(place) >= 5 and (v1 or kind == "cgroup2"):
            yield not v1, place[3], Path(place[4].replace("\\040", " "))


def _below(path: str, root: str) -> PurePosixPath:
    """A group's path relative to the mounted group; the mounted group itself if it is not inside.

    That is so where a container sees the paths of its host, but has only its own group mounted.
    """
    try:
        own = PurePosixPath(path).relative_to(root)
    except ValueError:
        return PurePosixPath()
    return PurePosixPath() if ".." in own.parts else own


def _number(path: Path, default: int = NO_LIMIT) -> int:
    text = text_of(path)
    return int(text) if text.isdigit() else default


def _file_pages(group: Path) -> int:
    """Bytes of cached files of a group and its subgroups, which v1 calls `total_`."""
    pairs = (line.partition(" ") for line in text_of(group / "memory.stat").splitlines())
    stat = {name: int(value) for name, _, value in pairs if value.isdigit()}
    names = ("active_file", "inactive_file")
    return sum(stat.get(f"total_{name}", stat.get(name, 0)) for name in names)
