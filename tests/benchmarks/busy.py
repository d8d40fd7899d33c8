"""How fast the engine is while other programs want the cores: one table for each model.

    python tests/benchmarks/busy.py [--rounds N] [--busy N] [--model FILE] [--spins N ...]

Twice as many busy processes as cores, then none; each number of threads with OpenMP's long spin
(its default), a short one and none, and what relay-gguf sets by itself; beside it llama-bench, if
it is on PATH, and llama-server, if xllamacpp is installed. Each cell is a process of its own, for
OpenMP reads its environment when it is loaded, and has a time limit: what does not end within it
is shown as `> 40 s`. "watching" gives up a thread while it loses cores to others, and takes it
back. Models are SmolLM2 and one of 0.8 billion parameters in Q4_K_M.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alone import random_ids
from engine import Job, machine, spread
from measures import interleaved

from relay_gguf.machine.cpu import physical_cores, usable_cpus
from relay_gguf.models.demo import demo_model

if TYPE_CHECKING:
    from relay_gguf.llama.load import Loaded

N_PROMPT, N_DECODE = 128, 64
WATCHED = 4
"""Tokens between two looks at how often the process lost a core."""
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
LONG_SPIN = {"KMP_LIBRARY": "throughput"}
"""Nothing to GCC's OpenMP and the default of LLVM's, but set: relay-gguf then sets nothing."""
LOOP = "import time; end = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
SERVER = """
import json, sys, urllib.request, xllamacpp
model, threads, *prompts = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.verbosity = model, 1024, 1, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
server = xllamacpp.Server(params)
for name, prompt, count in zip(("prompt", "predicted"), prompts, (1, 64)):
    body = {"prompt": json.loads(prompt), "n_predict": count, "ignore_eos": True}
    body = json.dumps(body | {"cache_prompt": False, "temperature": 0}).encode()
    request = urllib.request.Request(server.listening_address + "/completion", body)
    with urllib.request.urlopen(request) as answer:
        print(json.dumps(json.load(answer)["timings"][name + "_per_second"]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """Who is measured: a program with a number of threads and an environment."""

    who: str
    threads: int
    environment: tuple[tuple[str, str], ...] = ()
    watching: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of a prompt and of decoding; 0 is what did not end in time."""

    prompt: float = 0.0
    decode: float = 0.0


# The child: a model in memory, and two numbers on stdout, each as soon as it is known


def measured(path: Path, threads: int, watching: bool) -> Iterator[float]:
    """Tokens a second of a prompt, then of tokens one by one, as relay-gguf loads the model."""
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.llama.engine import LlamaEngine

    rng = random.Random(1)
    with LlamaEngine(path, LoadOptions(n_ctx=1024), n_threads=threads) as engine:
        model = engine._model  # its own loop would stop where a model of zeros says so
        evaluate(model, random_ids(rng, 8))
        began = time.perf_counter()
        evaluate(model, random_ids(rng, N_PROMPT))
        yield N_PROMPT / (time.perf_counter() - began)
        tokens = random_ids(rng, N_DECODE)
        began = time.perf_counter()
        for start in range(0, N_DECODE, WATCHED):
            lost = lost_cores()
            for token in tokens[start : start + WATCHED]:
                evaluate(model, [token])
            if watching:
                threads = watched(model, threads, lost_cores() - lost)
        yield N_DECODE / (time.perf_counter() - began)


def evaluate(model: Loaded, tokens: Sequence[int]) -> None:
    """One batch, to its logits."""
    from relay_gguf.llama.native import lib

    ids = (lib.llama_token * len(tokens))(*tokens)  # has to outlive the batch
    status = lib.llama_decode(model.ctx, lib.llama_batch_get_one(ids, len(ids)))
    if status:
        raise RuntimeError(f"llama_decode returned {status}")
    lib.llama_get_logits_ith(model.ctx, -1)  # waits for a GPU


def lost_cores() -> int:
    """How often this process lost a core against its will; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def watched(model: Loaded, threads: int, lost: int) -> int:
    """Set, and return, the number of threads that the next few tokens get."""
    from relay_gguf.llama.native import lib

    wanted = threads - 1 if lost > WATCHED // 2 else threads + 1 if not lost else threads
    wanted = min(max(1, wanted), physical_cores())
    lib.llama_set_n_threads(model.ctx, wanted, wanted)
    return wanted


# The parent: children beside busy processes


@contextmanager
def beside(count: int, seconds: float) -> Iterator[None]:
    """That many processes that do nothing, busily; they end by themselves if nobody ends them."""
    command = [sys.executable, "-c", LOOP.format(seconds)]
    others = [subprocess.Popen(command) for _ in range(count)]
    try:
        if others:
            time.sleep(0.3)  # they are at it
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()


def command_of(cell: Cell, path: Path) -> list[str]:
    """A program that prints two numbers, or two lines of llama-bench's, on stdout."""
    threads = str(cell.threads)
    if cell.who == "llama-bench":
        sizes = ["-p", str(N_PROMPT), "-n", str(N_DECODE), "-r", "1"]
        return ["llama-bench", "-m", str(path), "-t", threads, *sizes, "-o", "jsonl"]
    if cell.who == "llama-server":
        rng = random.Random(1)
        prompts = [json.dumps(random_ids(rng, count)) for count in (N_PROMPT, 2)]
        return [sys.executable, "-c", SERVER, str(path), threads, *prompts]
    asked = ["--cell", str(path), threads, "watching" if cell.watching else ""]
    return [sys.executable, __file__, *asked]


def speed(cell: Cell, path: Path, busy: int, limit: float) -> Speed:
    """Run a cell once, beside busy processes; if it fails, stderr says so."""
    print(f"{cell.who}, {cell.threads} threads, {busy} busy ", end="\r", file=sys.stderr)
    kept = {name: text for name, text in os.environ.items() if name not in VARIABLES}
    env, command = kept | dict(cell.environment), command_of(cell, path)
    errors = subprocess.DEVNULL if cell.who.startswith("llama-") else None
    run = partial(subprocess.run, command, env=env, stdout=subprocess.PIPE, stderr=errors)
    with beside(busy, limit + 60):
        try:
            out = run(timeout=limit, check=True).stdout
        except subprocess.TimeoutExpired as late:
            out = late.stdout or b""
        except subprocess.CalledProcessError as failed:
            print(failed, file=sys.stderr)
            out = failed.stdout
    found: list[float] = []
    for line in out.splitlines():
        with suppress(ValueError):  # half a line of one that was ended, or a remark
            value = json.loads(line)
            found.append(float(value["avg_ts"] if isinstance(value, dict) else value))
    return Speed(*found)


def cells(spins: Sequence[int], threads: int) -> list[Cell]:
    """All that is compared; what is set by hand first."""
    ways = {"long spin": LONG_SPIN}
    ways |= {f"spin of {count}": {"GOMP_SPINCOUNT": str(count)} for count in spins}
    ways["sleep"] = {"OMP_WAIT_POLICY": "PASSIVE"}
    found = [
        Cell(name, count, tuple(environment.items()))
        for name, environment in ways.items()
        for count in range(1, threads + 1)
    ]
    found += [Cell("watching", threads, watching=True), Cell("relay-gguf", threads)]
    if shutil.which("llama-bench"):
        found.append(Cell("llama-bench", threads))
    if find_spec("xllamacpp"):
        found.append(Cell("llama-server", threads))
    return found


# The table


def shown(values: Sequence[float], limit: float) -> str:
    """Median, least and most."""
    if not statistics.median(values):
        return f"> {limit:.0f} s"
    return spread(values, ".1f")


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ours over theirs, round by round; of those that ended."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True) if other]
    return spread(ratios, ".2f") if ratios else "theirs never ended"


def print_table(path: Path, compared: Sequence[Cell], loads: Sequence[int], args: Any) -> None:
    """Measure, in rounds of all cells, and print."""
    runs = [(cell, load) for cell in compared for load in loads]
    measures = [partial(speed, cell, path, load, args.limit) for cell, load in runs]
    values = dict(zip(runs, interleaved(args.rounds, *measures), strict=True))
    for load in loads:
        print(f"\n{path.name} beside {load} busy processes, tokens/s")
        print(f"{'':14} {'threads':>7}  {f'prompt of {N_PROMPT}':24} {f'decode of {N_DECODE}':24}")
        for cell in compared:
            found = values[cell, load]
            prompt = shown([each.prompt for each in found], args.limit)
            decode = shown([each.decode for each in found], args.limit)
            print(f"{cell.who:14} {cell.threads:7}  {prompt:24} {decode:24}".rstrip())
        for what in ("prompt", "decode"):
            row = {cell: [getattr(s, what) for s in values[cell, load]] for cell in compared}
            ours = next(row[cell] for cell in compared if cell.who == "relay-gguf")
            by_hand = [cell for cell in compared if cell.environment]
            best = max(by_hand, key=lambda cell: statistics.median(row[cell]))
            print(f"{what}: relay-gguf over the best, {best.who} with {best.threads}: ", end="")
            print(ratio(ours, row[best]))
            for cell in compared:
                if cell.who in ("watching", "llama-bench", "llama-server"):
                    print(f"{what}: relay-gguf over {cell.who}: {ratio(ours, row[cell])}")
        sys.stdout.flush()


@contextmanager
def models(path: Path | None) -> Iterator[list[Path]]:
    """The one that is asked for, or SmolLM2 and a model of zeros, of 0.8 billion parameters."""
    if path is not None:
        yield [path]
        return
    sys.path.append(str(Path(__file__).parents[1] / "model_files"))
    from hollow import MINI, write_hollow

    with tempfile.TemporaryDirectory() as folder:
        mini = Path(folder) / "mini-Q4_K_M.gguf"
        yield [demo_model(), write_hollow(mini, MINI, "Q4_K_M", demo_model())]


def main() -> None:
    """See the module."""
    if sys.argv[1:2] == ["--cell"]:
        _, _, path, threads, watching = sys.argv
        for value in measured(Path(path), int(threads), bool(watching)):
            print(value, flush=True)
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=2 * len(usable_cpus()), metavar="N")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file, and no other")
    parser.add_argument("--spins", type=int, nargs="*", default=[300, 1000, 3000, 10000])
    parser.add_argument("--limit", type=float, default=40, metavar="S", help="seconds for a cell")
    args = parser.parse_args()
    threads = physical_cores()
    with models(args.model) as paths:
        for path in paths:
            print(machine(Job(path, threads, args.rounds)), flush=True)
            print_table(path, cells(args.spins, threads), [0, args.busy], args)
            print()


if __name__ == "__main__":
    main()
