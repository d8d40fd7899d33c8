"""How fast many replies at once are, beside llama.cpp's own programs: one table.

    python tests/benchmarks/batch.py [MODEL.gguf] [--threads N] [--rounds N] [--slots 1,2,4,8,16]

Without a model SmolLM2 is taken. Each number of slots has a prompt of 64 random tokens and a reply
of 64 in each slot, which begin together when all prompts have been read; counted are the tokens a
second of all slots. Beside it stand llama-batched-bench, if it is on PATH, which samples nothing,
and llama-server, if xllamacpp is installed. Slots have a cache each, as llama-batched-bench has by
itself, or with --kv-unified one pool for all, as it runs beside it with -kvu and as llama-server
has it: in a pool sequences share what they begin with, and each token passes over the cells of all
others. Each
is a fresh process with OpenMP's short spin, and the rounds are interleaved. "of bare" is the most
exact: after each of our steps comes one that evaluates as many random tokens at the same places and
does nothing else, as llama-batched-bench does it; the ratio is that of the medians. The last
columns say where the time of a step goes.
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
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alone import random_ids
from engine import Job, Others, machine, spread
from measures import interleaved

from relay_gguf.machine.cpu import physical_cores
from relay_gguf.models.demo import demo_model

if TYPE_CHECKING:
    from relay_gguf.llama.batch.slots import Slots

N_PROMPT, N_REPLY = 64, 64
SHORT_SPIN = {"GOMP_SPINCOUNT": "1000"}
SERVER = """
import json, sys, urllib.request, xllamacpp
from concurrent.futures import ThreadPoolExecutor
model, threads, n_slots, prompts = sys.argv[1:]
n_slots = int(n_slots)
params = xllamacpp.CommonParams()
params.model.path, params.verbosity = model, -1
params.n_ctx, params.n_parallel = 256 * n_slots, n_slots
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
server = xllamacpp.Server(params)
def reply(prompt):
    body = {"prompt": prompt, "n_predict": 64, "ignore_eos": True, "cache_prompt": False}
    body |= {"temperature": 0.3, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.1}
    body = json.dumps(body).encode()
    request = urllib.request.Request(server.listening_address + "/completion", body)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["timings"]["predicted_per_second"]
with ThreadPoolExecutor(n_slots) as pool:
    print(json.dumps(sum(pool.map(reply, json.loads(prompts)))), flush=True)
"""
HEAD = (
    *("slots", "relay-gguf t/s", "of bare", "batched-bench", "ratio"),
    *("batched-bench -kvu", "ratio", "llama-server", "ratio"),
)
PARTS = ("evaluation", "sampling", "Python")


# The child: a model in memory, and how its steps spend their time


def measured(path: Path, threads: int, n_slots: int, *, unified: bool) -> dict[str, float]:
    """Tokens a second while all slots run, and seconds of a step by what they are spent on."""
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.llama.batch.batch_engine import BatchEngine

    options = LoadOptions(n_ctx=512, n_slots=n_slots, kv_unified=unified)
    with BatchEngine(path, options, n_threads=threads) as engine:
        slots = engine._slots  # its own thread rests meanwhile
        slots._evaluator.ends = lambda token: False  # type: ignore[method-assign]
        take(slots, 1, 8)
        return take(slots, n_slots, N_REPLY)


def take(slots: Slots, n_slots: int, n_reply: int) -> dict[str, float]:
    """Fill the slots, and time the steps that all of them run in."""
    from relay_gguf.engine import Token
    from relay_gguf.llama.batch import slots as slots_module
    from relay_gguf.llama.batch.continuation import Continuation
    from relay_gguf.sampling import SamplingParams

    rng = random.Random()
    spent = dict.fromkeys(PARTS, 0.0)
    evaluate, rows = slots._evaluator.evaluate, slots._evaluator.rows
    choose = slots_module.next_tokens

    def timed(part: str, call: Any) -> Any:
        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = call(*arguments)
            spent[part] += time.perf_counter() - began
            return result

        return run

    prompts = [tuple(random_ids(rng, N_PROMPT)) for _ in range(n_slots)]
    for n_tokens in (1, n_reply + 1):  # what was read stays, so that the replies begin together
        while slots.n_live:
            slots.step()
        for prompt in prompts:
            params = SamplingParams(max_tokens=n_tokens, seed=rng.getrandbits(32))
            slots.submit(Continuation(prompt, params))
    evaluator: Any = slots._evaluator
    evaluator.evaluate, evaluator.rows = timed(PARTS[0], evaluate), timed(PARTS[0], rows)
    slots_module.next_tokens = timed(PARTS[1], choose)
    steps: list[float] = []
    bare: list[float] = []
    totals = dict.fromkeys(PARTS, 0.0)
    while slots.n_live and len(steps) < n_reply:
        spent.update(dict.fromkeys(PARTS, 0.0))
        began = time.perf_counter()
        told = slots.step()
        took = time.perf_counter() - began
        if sum(isinstance(event.step, Token) for event in told) == n_slots:
            steps.append(took)
            bare.append(bare_step(slots, rng, evaluate))
            spent[PARTS[2]] = took - spent[PARTS[0]] - spent[PARTS[1]]
            totals = {part: totals[part] + spent[part] for part in PARTS}
    slots.cancel_all()
    evaluator.evaluate, evaluator.rows = evaluate, rows
    slots_module.next_tokens = choose
    of_bare = statistics.median(bare) / statistics.median(steps)
    spent = {part: totals[part] / len(steps) for part in PARTS}
    return {"speed": n_slots * len(steps) / sum(steps), "of bare": of_bare} | spent


def bare_step(slots: Slots, rng: random.Random, evaluate: Any) -> float:
    """Seconds of an evaluation of a random token for each reply, which is then forgotten."""
    running = slots._seated.values()
    ids, positions = random_ids(rng, len(running)), [reply.n_past for reply in running]
    seqs = [reply.seq for reply in running]
    began = time.perf_counter()
    evaluate(ids, positions, seqs, len(ids))
    seconds = time.perf_counter() - began
    for seq, position in zip(seqs, positions, strict=True):
        slots._evaluator.cut(seq or 0, position)
    return seconds


# The parent


def ours(job: Job, n_slots: int, parts: list[dict[str, float]], *, unified: bool) -> float:
    """Tokens a second; the parts of a step are added to `parts`."""
    command = [sys.executable, __file__, "--child", str(n_slots), str(job.path)]
    command += ["--kv-unified"] * unified
    found = json.loads(_output([*command, "--threads", str(job.threads)]))
    parts.append(found)
    return float(found["speed"])


def batched_bench(job: Job, n_slots: int, *, pool: bool = False) -> float:
    """The same of llama.cpp's own benchmark, whose tokens are random."""
    size = ["-npp", str(N_PROMPT), "-ntg", str(N_REPLY), "-npl", str(n_slots)]
    room = ["-c", str(256 * n_slots), "-t", str(job.threads), "-tb", str(job.threads)]
    command = ["llama-batched-bench", "-m", str(job.path), *room, *size, *["-kvu"] * pool]
    said = _output([*command, "--output-format", "jsonl"])
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    return float(json.loads(line)["speed_tg"])


def server(job: Job, n_slots: int) -> float:
    """The same of llama-server, as its slots report it."""
    prompts = [random_ids(random.Random(), N_PROMPT) for _ in range(n_slots)]
    arguments = [str(job.path), str(job.threads), str(n_slots), json.dumps(prompts)]
    return float(_output([sys.executable, "-c", SERVER, *arguments]))


def _output(command: Sequence[str]) -> str:
    env = {**os.environ, **SHORT_SPIN}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return run.stdout


def row(job: Job, n_slots: int, *, alone: bool, unified: bool) -> list[str]:
    """A line of the table."""
    parts: list[dict[str, float]] = []
    bench = not alone and shutil.which("llama-batched-bench")
    there: list[tuple[Callable[[Job, int], float], object]] = [
        (batched_bench, bench),
        (partial(batched_bench, pool=True), bench),
        (server, not alone and find_spec("xllamacpp")),
    ]
    peers = [partial(measure, job, n_slots) for measure, found in there if found]
    mine = partial(ours, job, n_slots, parts, unified=unified)
    own, *others = interleaved(job.rounds, mine, *peers)
    cells = [str(n_slots), spread(own, ".1f"), spread([one["of bare"] for one in parts], ".3f")]
    has = iter(others)
    for _, found in there:
        theirs = next(has) if found else []
        ratios = [one / other for one, other in zip(own, theirs, strict=False)]
        cells += [spread(theirs, ".1f"), spread(ratios, ".2f")] if theirs else ["-", "-"]
    spent = [statistics.median(one[part] for one in parts) * 1e3 for part in PARTS]
    return [*cells, *(f"{value:.2f}" for value in spent)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="a GGUF file; default: SmolLM2")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", default="1,2,4,8,16")
    parser.add_argument("--alone", action="store_true", help="leave the other programs out")
    parser.add_argument("--kv-unified", action="store_true", help="one pool for all slots")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    path = arguments.model or demo_model()
    if arguments.child:
        unified = arguments.kv_unified
        print(json.dumps(measured(path, arguments.threads, arguments.child, unified=unified)))
        return
    job = Job(path, arguments.threads, arguments.rounds)
    print(f"{machine(job)}\n")
    others = Others()
    print(f"| {' | '.join((*HEAD, *(f'{part}, ms' for part in PARTS)))} |")
    print("|" + " ---: |" * (len(HEAD) + len(PARTS)))
    for n_slots in map(int, arguments.slots.split(",")):
        cells = row(job, n_slots, alone=arguments.alone, unified=arguments.kv_unified)
        print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{others}")


if __name__ == "__main__":
    main()
