"""How fast, small and quick to stop the engine is, beside llama.cpp's own programs: one table.

    python tests/benchmarks/engine.py [MODEL.gguf] [--threads N] [--rounds N] [--markdown]

Without a model SmolLM2 is taken. The peer is llama-bench if it is on PATH, built from the
llama.cpp that llama-cpp-python brings, or else the class `Llama` of llama-cpp-python. A cell is a
median with the lowest and highest value of all rounds; a ratio is the median of the rounds' own
ratios, so that a machine that slows down halfway does not change it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from measures import (
    N_CTX_SMALL,
    SkippedError,
    cancel_latency,
    command_line,
    first_token,
    interleaved,
    llama_bench,
    resident,
    sampling_cost,
    speed,
    turns,
    wall,
)

from relay_gguf.fit.placement import LoadSettings
from relay_gguf.llama.load import measure
from relay_gguf.machine.cpu import physical_cores
from relay_gguf.models.demo import demo_model

MEBIBYTE = 1 << 20
PROC_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    path: Path
    threads: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    beside: str = ""
    value: str = ""
    ratio: str = ""


HEAD = Row("measured", "relay-gguf", "beside", "its value", "ratio")


def spread(values: Sequence[float], form: str) -> str:
    """A median with its extremes; a single value alone."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({format(min(values), form)}-{format(max(values), form)})"


def compared(
    what: str, ours: Sequence[float], beside: str, theirs: Sequence[float], form: str
) -> Row:
    """A line with a ratio: ours over theirs, round by round."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return Row(what, spread(ours, form), beside, spread(theirs, form), spread(ratios, ".2f"))


# The parts of the table


def speed_rows(job: Job) -> Iterator[Row]:
    """Decoding and reading a prompt, beside the peer."""
    where = (job.path, job.threads)
    has_bench = shutil.which("llama-bench") is not None
    peer = "llama-bench" if has_bench else "llama-cpp-python's Llama"
    for what, label in (("decode", "decode 64"), ("prompt", "prompt of 512")):
        own, other = interleaved(
            job.rounds,
            partial(speed, what, "relay-gguf", *where),
            partial(llama_bench, what, *where)
            if has_bench
            else partial(speed, what, "llama-cpp-python", *where),
        )
        yield compared(f"{label}, tokens/s", own, peer, other, ".1f")


def cancel_rows(job: Job) -> Iterator[Row]:
    """How long a cancelled prompt goes on."""
    (seconds,) = interleaved(job.rounds, partial(cancel_latency, job.path, job.threads))
    yield Row("cancel in a 3000-token prompt, ms", spread([1e3 * s for s in seconds], ".1f"))


def turn_rows(job: Job) -> Iterator[Row]:
    """Tokens that turns evaluate, beside those in the prompt: counts, so one session will do."""
    second, retried, full = turns(job.path, job.threads)
    *_, anew = turns(job.path, job.threads, exact_trim=True)
    for what, turn in (
        ("second turn", second),
        ("/retry", retried),
        (f"turn after a full {N_CTX_SMALL}", full),
        ("the same, --exact-trim", anew),
    ):
        what = f"{what}, tokens evaluated"
        yield compared(what, [turn.evaluated], "its prompt", [turn.whole], "d")


def memory_rows(job: Job) -> Iterator[Row]:
    """Resident memory after 600 tokens in a context of 4096."""
    ours = resident("relay-gguf", job.path, job.threads)
    llama = resident("llama-cpp-python", job.path, job.threads)
    empty = resident("nobody", job.path, job.threads)
    for name, what in (("VmRSS", "resident memory, MiB"), ("VmHWM", "its peak, MiB")):
        own, other = ours[name] / MEBIBYTE, llama[name] / MEBIBYTE
        measured = measure(job.path, LoadSettings(0, 4096))
        if measured is not None:
            bare = (measured.weights + measured.kv) / MEBIBYTE
            yield compared(what, [own], "weights + KV", [bare], ".0f")
        yield compared(what, [own], "llama-cpp-python's Llama", [other], ".0f")
    share = [empty["VmRSS"] / MEBIBYTE]
    yield Row("of it Python and libraries, MiB", spread(share, ".0f"))


def start_rows(job: Job) -> Iterator[Row]:
    """Starting the program, beside Python that does nothing."""
    python = [sys.executable, "-c"]
    helped, imported, idle = interleaved(
        job.rounds,
        lambda: wall([*command_line(), "--help"]),
        lambda: wall([*python, "import relay_gguf"]),
        lambda: wall([*python, "pass"]),
    )
    yield compared("relay-gguf --help, s", helped, "python -c pass", idle, ".3f")
    yield compared("import relay_gguf, s", imported, "python -c pass", idle, ".3f")
    (first,) = interleaved(job.rounds, lambda: first_token([str(job.path)]))
    yield Row("chat --plain to the first token, s", spread(first, ".2f"))


def sampling_rows(job: Job) -> Iterator[Row]:
    """Choosing a token, as after a decode (cold caches) and over and over (warm ones)."""
    for n_vocab in (49_152, 131_072):
        cold, warm = interleaved(
            job.rounds, sampling_cost(n_vocab, cold=True), sampling_cost(n_vocab, cold=False)
        )
        yield compared(f"sampling from {n_vocab:,}, µs", cold, "in warm caches", warm, ".0f")


def table(job: Job) -> Iterator[Row]:
    """All lines, as they come. What cannot be measured here says why."""
    yield from _tried("speed", speed_rows(job))
    yield from _tried("cancel", cancel_rows(job))
    yield from _tried("tokens evaluated", turn_rows(job))
    yield from _tried("memory", memory_rows(job))
    yield from _tried("start", start_rows(job))
    yield from _tried("sampling", sampling_rows(job))


def _tried(what: str, rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except SkippedError as reason:
        yield Row(what, f"skipped: {reason}")


# Around it


def processor() -> str:
    """The name of the CPU."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine(job: Job) -> str:
    """What the numbers hold for: the machine, the library and the model."""
    try:
        ram = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB RAM"
    except (AttributeError, OSError, ValueError):
        ram = "RAM unknown"
    return (
        f"{processor()}, {os.cpu_count()} CPUs ({job.threads} threads used), {ram}, "
        f"{platform.system()}, Python {platform.python_version()}, "
        f"llama-cpp-python {version('llama-cpp-python')}; {job.path.name}, "
        f"{job.path.stat().st_size / MEBIBYTE:.1f} MiB; {job.rounds} rounds"
    )


class Others:
    """How much of the machine other programs take, which spoils the numbers if it is much."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds: of CPU time in use, of that by us and those we waited for, and of the clock."""
        line = PROC_STAT.read_text("ascii").partition("\n")[0] if PROC_STAT.exists() else ""
        ticks = [int(field) for field in line.split()[1:9]]
        busy = (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK") if ticks else 0.0
        return busy, sum(os.times()[:4]), time.perf_counter()

    def __str__(self) -> str:
        if not PROC_STAT.exists():
            return f"What other programs did meanwhile is unknown: there is no {PROC_STAT}."
        busy, own, wall = (now - then for now, then in zip(self._now(), self._before, strict=True))
        share = max(0.0, busy - own) / (wall * (os.cpu_count() or 1))
        return f"Other programs took {share:.0%} of the machine meanwhile."


def cells(row: Row) -> list[str]:
    """A line's columns."""
    return [row.what, row.ours, row.beside, row.value, row.ratio]


def print_plain(row: Row) -> None:
    """A line of columns, as soon as it is measured."""
    widths = (42, 22, 26, 22, 18)
    parts = [cell.ljust(width) for cell, width in zip(cells(row), widths, strict=True)]
    print(" ".join(parts).rstrip(), flush=True)


def print_markdown(row: Row) -> None:
    """A line of a Markdown table."""
    print(f"| {' | '.join(cells(row))} |", flush=True)
    if row is HEAD:
        print("| --- | ---: | --- | ---: | ---: |")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="a GGUF file; default: SmolLM2")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    arguments = parser.parse_args()
    job = Job(arguments.model or demo_model(), arguments.threads, arguments.rounds)
    show = print_markdown if arguments.markdown else print_plain
    print(machine(job))
    print()
    others = Others()
    show(HEAD)
    for row in table(job):
        show(row)
    print(f"\n{others}")


if __name__ == "__main__":
    main()
