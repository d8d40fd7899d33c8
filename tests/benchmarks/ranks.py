"""What an adapter's rank costs in a whole conversion: one table.

    python tests/benchmarks/ranks.py [--shape mini] [--layers N] [--rank N]... [--quant TYPE]...
        [--folder DIR] [--rounds N] [--markdown]

A tied base of noise in BF16 and an adapter of each rank, for all seven linears, are made first, or
found in the folder of an earlier run; `relay-gguf convert` then makes the files. Each round takes
every rank, in turns first, so that another program on the machine slows all alike. A cell is the
median of the rounds, with the lowest and highest; a ratio is that to the first rank, round by
round. On a busy machine the CPU time tells more than the clock.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine import Others, processor, spread
from measures import command_line, homeless

from convert import SHAPES, child_seconds, read_through, show
from relay_gguf.models.demo import demo_model

sys.path.insert(0, str(Path(__file__).parents[1]))  # of the tests' models
from hf_models import Shape, write_adapter, write_mistral
from hf_tokenizers import write_tokenizer

RANKS = (8, 64, 256)
TYPES = ("Q4_K_M",)


def made(folder: Path, name: str, shape: Shape, ranks: Sequence[int]) -> tuple[Path, list[Path]]:
    """The base, and the adapter of each rank, made if they are not there yet."""
    base = folder / f"{name}-{shape.layers}"
    if not base.exists():
        print(f"making {base}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as place:
            tokenizer = write_tokenizer(Path(place, "tokenizer"), demo_model())
            write_mistral(Path(place, "base"), tokenizer, shape, tied=True).replace(base)
    adapters = [folder / f"{base.name}-rank-{rank}" for rank in ranks]
    for rank, adapter in zip(ranks, adapters, strict=True):
        if not adapter.exists():
            write_adapter(adapter, base, rank=rank, alpha=2 * rank)
    return base, adapters


def converted(base: Path, adapter: Path, types: Sequence[str], out: Path) -> tuple[float, float]:
    """Seconds of the clock, and of all cores, of one conversion."""
    shutil.rmtree(out, ignore_errors=True)
    read_through(base, adapter)
    quants = [word for ftype in types for word in ("--quant", ftype)]
    command = [*command_line(), "convert", str(base), "--adapter", str(adapter), *quants]
    with homeless() as env:
        spent, began = child_seconds(), time.perf_counter()
        subprocess.run([*command, "--out", str(out), "--quiet"], env=env, check=True)
        return time.perf_counter() - began, child_seconds() - spent


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="mini")
    parser.add_argument("--layers", type=int, help="fewer than the shape has")
    parser.add_argument("--rank", type=int, action="append", help=f"default: {RANKS}")
    parser.add_argument("--quant", action="append", help=f"a type; default: {', '.join(TYPES)}")
    parser.add_argument("--folder", type=Path, help="where models are found or made, and kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", action="store_true", help="a table for the documentation")
    arguments = parser.parse_args()
    shape, _ = SHAPES[arguments.shape]
    shape = replace(shape, layers=arguments.layers or shape.layers)
    ranks, types = arguments.rank or RANKS, arguments.quant or TYPES
    others = Others()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        base, adapters = made(folder, arguments.shape, shape, ranks)
        took: list[list[tuple[float, float]]] = [[] for _ in ranks]
        for count in range(arguments.rounds):
            order = range(len(ranks)) if count % 2 == 0 else reversed(range(len(ranks)))
            for i in order:
                took[i].append(converted(base, adapters[i], types, Path(temporary, "out")))
    print(
        f"{processor()}, {os.cpu_count()} CPUs; {arguments.shape} with {shape.layers} layers to "
        f"{', '.join(types)}; {arguments.rounds} rounds; {others}\n"
    )
    lines = [["rank", "wall, s", "CPU, s", "wall, ratio", "CPU, ratio"]]
    for rank, rounds in zip(ranks, took, strict=True):
        columns = [*zip(*rounds, strict=True)]
        ratios = [
            [own / first for own, first in zip(column, beside, strict=True)]
            for column, beside in zip(columns, zip(*took[0], strict=True), strict=True)
        ]
        cells = [spread(column, ".0f") for column in columns]
        lines.append([str(rank), *cells, *(f"{statistics.median(r):.3f}" for r in ratios)])
    show(lines, markdown=arguments.markdown)


if __name__ == "__main__":
    main()
