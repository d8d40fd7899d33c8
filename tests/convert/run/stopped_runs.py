"""Conversions that are stopped on their way, and disks that are full."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conversions import COMMAND, Pair, journal

from relay_gguf.convert.job import ConversionJob, prepare
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import Progress, run

TYPES = ("Q8_0", "Q4_K_M", "Q2_K")
PATIENCE = 300.0


def stopped(wanted: Request, out: Path, n_tensors: int, **options: Any) -> ConversionJob:
    """Convert, and close the generator when some tensors are done."""
    job = prepare(wanted)
    events: Any = run(job, out, n_threads=1, **options)
    for event in events:
        if isinstance(event, Progress) and len(journal(out)) > n_tensors:
            break
    events.close()
    assert len(journal(out)) == n_tensors + 1
    return job


def start(pair: Pair, out: Path, *options: str) -> subprocess.Popen[str]:
    arguments = [pair.base, "--adapter", pair.adapter, "--out", out, *options]
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def wait_for(process: subprocess.Popen[str], out: Path, n_tensors: int) -> None:
    """Wait until some tensors are done."""
    end = time.monotonic() + PATIENCE
    while len(journal(out)) <= n_tensors:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def free(monkeypatch: pytest.MonkeyPatch, measure: Callable[[], int]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=measure()))


def report_of(out: Path, ftype: str) -> dict[str, Any]:
    (path,) = out.glob(f"*-{ftype}.report.json")
    report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return report
