"""Whether `devices` and `models` say the same on a busy machine as on a quiet one.

    python tests/benchmarks/bandwidth.py [--runs 5] [--loops 0,2,4]

Beside busy Python loops, at equal priority: runs of `devices` with a cache folder of their own,
which measure, and as many with one that is kept; after each of them `models`. Bandwidths are in
GB/s; the spread is the largest less the smallest, of the smallest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 120
"""Seconds after which a busy loop ends by itself."""
LOOP = f"import time; end = time.time() + {LONGEST}\nwhile time.time() < end: pass"
COMMAND = [sys.executable, "-m", "relay_gguf"]


@dataclass(frozen=True, slots=True)
class Run:
    """What the program said; bytes a second, seconds of `devices`."""

    bandwidth: float
    busy: bool
    seconds: float
    choice: str  # the type that is taken, its tokens a second


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many busy loops meanwhile."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def said(folder: Path, *words: str) -> Any:
    """The JSON of a command whose cache is in a folder."""
    env = {**os.environ, "XDG_CACHE_HOME": str(folder), "HOME": str(folder)}
    done = subprocess.run([*COMMAND, *words, "--json"], env=env, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def run(folder: Path) -> Run:
    """Ask once."""
    start = time.perf_counter()
    machine = said(folder, "devices")
    seconds = time.perf_counter() - start
    fitting = [file for file in said(folder, "models") if file["plan"]]
    taken = max(fitting, key=lambda f: (f["chosen"], f["plan"]["tokens_per_second"]), default=None)
    choice = f"{taken['type']} {taken['plan']['tokens_per_second']}" if taken else "none"
    return Run(machine["bandwidth"], machine["measured_busy"], seconds, choice)


def line(what: str, loops: int, runs: Sequence[Run]) -> str:
    """A row of the table."""
    rates = [run.bandwidth / 1e9 for run in runs]
    spread = (max(rates) - min(rates)) / min(rates)
    seconds = sorted(run.seconds for run in runs)[len(runs) // 2]
    choices = ", ".join(sorted({run.choice for run in runs}))
    n_busy = sum(run.busy for run in runs)
    figures = " ".join(f"{rate:.1f}" for rate in rates)
    return (
        f"| {loops} | {what} | {figures} | {spread:.0%} | {n_busy} of {len(runs)} | {seconds:.1f} "
        f"| {choices} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--loops", default="0,2,4")
    options = parser.parse_args()
    print("| busy loops | cache | GB/s | spread | marked busy | seconds | taken, tokens a second |")
    print("|---|---|---|---|---|---|---|")
    everything: list[Run] = []
    for loops in map(int, options.loops.split(",")):
        with busy(loops), tempfile.TemporaryDirectory() as name:
            fresh = [run(Path(name, str(number))) for number in range(options.runs)]
            kept = [run(Path(name, "kept")) for _ in range(options.runs)]
        print(line("fresh", loops, fresh), line("kept", loops, kept), sep="\n", flush=True)
        everything += fresh + kept
    print(line("all", -1, everything).replace("| -1 ", "| all "))


if __name__ == "__main__":
    main()
