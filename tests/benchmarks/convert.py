"""What making GGUF files costs, beside PEFT and llama.cpp's own programs: one table.

    python tests/benchmarks/convert.py [--shape mini] [--quant TYPE]... [--folder DIR]
        [--peer-python PATH] [--llama-cpp FOLDER] [--llama-quantize PATH] [--markdown]

A base of noise in BF16 and an adapter of rank 8 that brings two tokens are made first, or found in
the folder of an earlier run. Then `relay-gguf convert` writes all files in one step; the peer takes
several: merge_and_unload of PEFT (in the base's type; ours merges in float32), llama.cpp's
convert_hf_to_gguf.py, and llama-quantize for each type. Ours also brings the files to the disk,
reads them back and hashes them. The peer ends where the first of its programs is missing.

Memory is that of the process, seen every 50 ms: the peak of all (VmHWM), in which mapped files
count too, and of what is anonymous (RssAnon). Scratch disk is what stood in the output and
temporary folders at most, beyond the files that were asked for. With several rounds a cell is a
median with the lowest and highest value; a ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from importlib.metadata import version
from pathlib import Path

from costs import HEAD, Cost, cells, ratios, show
from engine import Others, processor
from measures import SkippedError, command_line, homeless
from watched_step import Step, size, watch

from relay_gguf.models.demo import demo_model

sys.path.insert(0, str(Path(__file__).parents[1] / "model_files"))
from hf_models import MINI, NEMO, PICO, Shape, write_adapter, write_mistral
from hf_tokenizers import write_tokenizer

SHAPES: dict[str, tuple[Shape, int | None]] = {
    "pico": (PICO, None),
    "mini": (MINI, None),
    "nemo": (NEMO, 131072),
}
"""Sizes, and the rows of the vocabulary, if it has more than SmolLM2's 49,152 tokens."""
TYPES = ("Q8_0", "Q4_K_M", "Q2_K")
GROW = ("<|relay_start|>", "<|relay_end|>")
MERGE = Path(__file__).with_name("peft_merge.py")
NEEDED = ("torch", "transformers", "peft", "safetensors")


@dataclass(frozen=True, slots=True)
class ConversionJob:
    """What the command line asks for. `work` is emptied for each recipe."""

    base: Path
    adapter: Path
    work: Path
    types: Sequence[str]
    threads: int
    rounds: int
    peers: bool
    peer_python: Path
    llama_cpp: Path | None
    llama_quantize: Path | None


@dataclass(slots=True)
class Recipe:
    """A way to the files: its steps, what each took in each round, and why it is cut short."""

    name: str
    steps: Sequence[Step] = ()
    lacking: str = ""
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    whole: list[Cost] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def run(self, job: ConversionJob) -> None:
        """Take the steps, in an empty folder."""
        shutil.rmtree(job.work, ignore_errors=True)
        for folder in ("out", "tmp"):
            (job.work / folder).mkdir(parents=True)
        read_through(job.base, job.adapter)
        others, costs = Others(), list[Cost]()
        with environment(job) as env:
            for step in self.steps:
                print(f"running {step.name}", file=sys.stderr, flush=True)
                try:
                    cost, parts = watch(step, job.work, env)
                except SkippedError as reason:
                    self.lacking = str(reason)
                    break
                costs.append(cost)
                self.costs.setdefault(step.name, []).append(cost)
                for part, seconds in parts.items():
                    self.costs.setdefault(part, []).append(Cost(seconds))
        if costs:
            self.whole.append(reduce(Cost.then, costs))
            self.others.append(str(others))


# The recipes


def ours(job: ConversionJob) -> Recipe:
    """One step for all types."""
    out = job.work / "out"
    wanted = [word for ftype in job.types for word in ("--quant", ftype)]
    options = ["--adapter", str(job.adapter), "--out", str(out), "--threads", str(job.threads)]
    command = [*command_line(), "convert", str(job.base), *wanted, *options, "--json"]
    return Recipe("relay-gguf", [Step("relay-gguf convert", command, out)])


def peer(job: ConversionJob) -> Recipe:
    """A step to merge, one to convert, and one for each type."""
    name = "PEFT and llama.cpp"
    if not job.peers:
        return Recipe(name, lacking="not asked for")
    if reason := unfit(job.peer_python):
        return Recipe(name, lacking=reason)
    merged, gguf = job.work / "merged", job.work / "merged.gguf"
    merge = [job.peer_python, MERGE, job.base, job.adapter, merged]
    steps = [Step("PEFT merge_and_unload", merge)]
    if job.llama_cpp is None:
        return Recipe(name, steps, "no --llama-cpp FOLDER is given")
    script = job.llama_cpp / "convert_hf_to_gguf.py"
    if not script.exists():
        return Recipe(name, steps, f"there is no {script}")
    steps.append(Step(script.name, [job.peer_python, script, merged, "--outfile", gguf]))
    if job.llama_quantize is None or not job.llama_quantize.exists():
        return Recipe(name, steps, "there is no llama-quantize: give --llama-quantize PATH")
    for ftype in job.types:
        made = job.work / "out" / f"{ftype}.gguf"
        words = [str(job.llama_quantize), str(gguf), str(made), ftype, str(job.threads)]
        steps.append(Step(f"llama-quantize {ftype}", words, made))
    return Recipe(name, steps)


def unfit(python: Path) -> str:
    """Why a Python cannot merge; empty if it can."""
    code = f"from importlib.util import find_spec as f; print(*[n for n in {NEEDED} if not f(n)])"
    try:
        run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"--peer-python does not run: {error}"
    missing = ", ".join(run.stdout.split())
    return f"{python} has no {missing}: give --peer-python PATH" if missing else ""


@contextmanager
def environment(job: ConversionJob) -> Iterator[dict[str, str]]:
    """Nobody's files, a temporary folder that is watched, no hub, and so many threads."""
    with homeless() as env:
        yield env | {
            "TMPDIR": str(job.work / "tmp"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(job.threads),
        }


# Measuring


def read_through(*folders: Path) -> None:
    """Read all files once, so that each recipe finds them in memory alike, if they fit there."""
    if sum(map(size, folders)) > ram() / 2:
        return
    for folder in folders:
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass


def ram() -> int:
    """Bytes of this machine's memory; 0 if it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


# The table


def table(recipes: Sequence[Recipe]) -> Iterator[list[str]]:
    """A line a step, sums where a recipe has several steps, and ratios if all were taken."""
    yield HEAD
    for recipe in recipes:
        yield from ([name, *cells(costs)] for name, costs in recipe.costs.items())
        if len(recipe.steps) > 1 and not recipe.lacking:
            yield [recipe.name, *cells(recipe.whole)]
    own, other = recipes
    if not own.lacking and not other.lacking:
        yield ["ratio", *ratios(own.whole, other.whole)]


# Around it


def make_models(folder: Path, name: str) -> tuple[Path, Path]:
    """The base and the adapter of a shape, made if they are not there yet."""
    shape, vocab = SHAPES[name]
    base, adapter = folder / name, folder / f"{name}-adapter"
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as place:
        if not base.exists():
            print(f"making {base}", file=sys.stderr, flush=True)
            tokenizer = write_tokenizer(Path(place, "tokenizer"), demo_model())
            write_mistral(Path(place, name), tokenizer, shape, vocab=vocab).replace(base)
        if not adapter.exists():
            print(f"making {adapter}", file=sys.stderr, flush=True)
            write_adapter(Path(place, adapter.name), base, grow=GROW).replace(adapter)
    return base, adapter


def machine(job: ConversionJob) -> str:
    """What the numbers hold for: the machine, the programs and the model."""
    sizes = f"{size(job.base) / 1e9:.2f} GB and an adapter of {size(job.adapter) / 1e9:.2f} GB"
    return (
        f"{processor()}, {os.cpu_count()} CPUs ({job.threads} threads used), "
        f"{ram() / 2**30:.0f} GiB RAM, {platform.system()}, Python {platform.python_version()}, "
        f"llama-cpp-python {version('llama-cpp-python')}; {job.base.name}, {sizes}; "
        f"{job.rounds} rounds"
    )


def versions(job: ConversionJob) -> str:
    """What the peer is made of."""
    code = f"from importlib.metadata import version as v; print([(n, v(n)) for n in {NEEDED}])"
    run = subprocess.run([job.peer_python, "-c", code], capture_output=True, text=True, check=False)
    found = re.findall(r"\('(\w+)', '([^']+)'\)", run.stdout)
    return ", ".join(f"{name} {number}" for name, number in found)


def measure(job: ConversionJob, *, markdown: bool) -> None:
    """Run both recipes in turns, and print what they took."""
    own, other = ours(job), peer(job)
    for count in range(job.rounds):
        for recipe in (own, other) if count % 2 == 0 else (other, own):
            recipe.run(job)
    shutil.rmtree(job.work)
    print(machine(job))
    if other.steps:
        print(f"beside it {versions(job)}")
    print()
    show(list(table([own, other])), markdown=markdown)
    print()
    for recipe in (own, other):
        if recipe.lacking:
            print(f"{recipe.name}, skipped: {recipe.lacking}")
        for text in recipe.others:
            print(f"{recipe.name}: {text}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="mini")
    parser.add_argument("--quant", action="append", help=f"a type; default: {', '.join(TYPES)}")
    parser.add_argument("--folder", type=Path, help="where models are found or made, and kept")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-peers", action="store_true", help="measure relay-gguf alone")
    parser.add_argument(
        "--peer-python", type=Path, default=Path(sys.executable), help=f"has {', '.join(NEEDED)}"
    )
    parser.add_argument("--llama-cpp", type=Path, help="its source tree")
    found = shutil.which("llama-quantize")
    parser.add_argument("--llama-quantize", type=Path, default=Path(found) if found else None)
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        base, adapter = make_models(folder, arguments.shape)
        with tempfile.TemporaryDirectory(dir=folder, prefix="work-") as work:
            job = ConversionJob(
                base,
                adapter,
                Path(work, "work"),
                arguments.quant or TYPES,
                arguments.threads,
                arguments.rounds,
                not arguments.no_peers,
                arguments.peer_python.absolute(),
                arguments.llama_cpp,
                arguments.llama_quantize,
            )
            measure(job, markdown=arguments.markdown)


if __name__ == "__main__":
    main()
