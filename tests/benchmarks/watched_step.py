"""A program that is watched while it runs: its seconds, memory, scratch disk and stages."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from costs import Cost
from measures import SkippedError

EVERY = 0.05
STAGE = re.compile(rb'"stage": "(\w+)"')
STAGES = ("- planning", "- converting", "- checking")
"""Of `relay-gguf convert`: to its first word of progress, to the first of verifying, to its end."""


@dataclass(frozen=True, slots=True)
class Step:
    """A program to run; `makes` is what was asked for, if it makes that."""

    name: str
    command: Sequence[str | Path]
    makes: Path | None = None


def watch(step: Step, work: Path, env: Mapping[str, str]) -> tuple[Cost, dict[str, float]]:
    """Run a step; its cost, and the seconds of its stages, if it tells of any.

    Raises:
        SkippedError: it failed; has its last words.
    """
    if hasattr(os, "sync"):
        os.sync()  # what an earlier step has left for the disk is no cost of this one
    before, spent = size(work), child_seconds()
    peaks, disk, seen = dict[str, int](), before, dict[str, float]()
    with tempfile.NamedTemporaryFile("wb") as said, Path(said.name).open("rb") as heard:
        began = time.perf_counter()
        process = subprocess.Popen(step.command, env=env, stdout=said, stderr=subprocess.STDOUT)
        try:
            ended = False
            while not ended:
                for name, count in memory(process.pid).items():
                    peaks[name] = max(peaks.get(name, 0), count)
                disk = max(disk, size(work))
                ended = wait(process)
                for stage in STAGE.findall(heard.read()):
                    seen.setdefault(stage.decode(), time.perf_counter() - began)
        finally:
            process.kill()
            process.wait()
        wall = time.perf_counter() - began
        if process.returncode:
            heard.seek(0)
            words = " ".join(heard.read().decode("utf-8", "replace").splitlines()[-3:])
            raise SkippedError(f"{step.name} ended with {process.returncode}: {words}")
    files = 0 if step.makes is None else size(step.makes)
    return Cost(
        wall,
        child_seconds() - spent,
        peaks.get("VmHWM", 0),
        peaks.get("RssAnon", 0),
        max(0, disk - before - files),
        files,
    ), stages(seen, wall)


def wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment; whether the process has ended."""
    try:
        process.wait(EVERY)
    except subprocess.TimeoutExpired:
        return False
    return True


def stages(seen: Mapping[str, float], wall: float) -> dict[str, float]:
    """Seconds of the stages of `relay-gguf convert`, from when each was first heard of."""
    if "resume" not in seen or "verify" not in seen:
        return {}
    written, checked = seen["resume"], seen["verify"]
    return dict(zip(STAGES, (written, checked - written, wall - checked), strict=True))


def memory(pid: int) -> dict[str, int]:
    """Bytes of VmHWM and RssAnon of a process; none where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return {}
    fields = re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB$", status, re.MULTILINE)
    return {name: int(kibibytes) * 1024 for name, kibibytes in fields}


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder, which may vanish meanwhile."""
    files = (
        [path]
        if path.is_file()
        else [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    )
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def child_seconds() -> float:
    """CPU time of all processes that were waited for."""
    return sum(os.times()[2:4])
