"""What an adapter's rank costs in a conversion: one table.

    python tests/benchmarks/ranks.py [--shape mini] [--layers N] [--rank N]... [--quant TYPE]...
        [--folder DIR] [--rounds N] [--markdown]

A tied base of noise in BF16 and an adapter of each rank, for all seven linears, are made first, or
found in the folder of an earlier run. Then each linear is read and merged with every rank in turns,
and converted with the first, by one thread: nothing else in a conversion depends on the rank. The
figures are CPU time in nanoseconds for a value, of which other programs on the machine take none;
but they slow it, so that the least of the rounds counts. The ratio is that of all work on the
linears; a whole conversion has an embedding and checks beside them, and is nearer to 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

from engine import Others, processor
from measures import interleaved

from convert import SHAPES, show
from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.job import ConversionJob, prepare
from relay_gguf.convert.read.merge import slabs
from relay_gguf.convert.request import Request
from relay_gguf.convert.write.encode import encode_all
from relay_gguf.models.demo import demo_model

sys.path.insert(0, str(Path(__file__).parents[1] / "model_files"))
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


def merging(job: ConversionJob, tensor: Tensor) -> float:
    """CPU time of reading and merging a tensor, with all that its adapter needs."""
    began = time.process_time()
    read = job.model.weights.open(tensor)
    for start, stop in slabs(tensor.shape, tensor.together):
        read(start, stop)
    return time.process_time() - began


def converting(job: ConversionJob, tensor: Tensor) -> float:
    """CPU time of reading, merging and encoding a tensor, and of measuring its errors."""
    kinds = list({target.types[tensor.name] for target in job.targets})
    began = time.process_time()
    for _ in encode_all(job.model.weights, [tensor], {tensor.name: kinds}, n_threads=1):
        pass
    return time.process_time() - began


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="mini")
    parser.add_argument("--layers", type=int, default=1, help="which are all alike")
    parser.add_argument("--rank", type=int, action="append", help=f"default: {RANKS}")
    parser.add_argument("--quant", action="append", help=f"a type; default: {', '.join(TYPES)}")
    parser.add_argument("--folder", type=Path, help="where models are found or made, and kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a table for the documentation")
    arguments = parser.parse_args()
    shape, _ = SHAPES[arguments.shape]
    shape = replace(shape, layers=arguments.layers)
    ranks, types = arguments.rank or RANKS, arguments.quant or TYPES
    others = Others()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        base, adapters = made(folder, arguments.shape, shape, ranks)
        jobs = [
            prepare(Request(base=str(base), ftypes=tuple(types), adapter=str(adapter)))
            for adapter in adapters
        ]
        linears = [tensor for tensor in jobs[0].tensors if tensor.changed]
        merged, whole = [0.0 for _ in ranks], 0.0
        for tensor in linears:
            measures = [partial(merging, job, tensor) for job in jobs]
            measures.append(partial(converting, jobs[0], tensor))
            *took, all_of_it = interleaved(arguments.rounds, *measures)
            merged = [sum_ + min(found) for sum_, found in zip(merged, took, strict=True)]
            whole += min(all_of_it)
    print(
        f"{processor()}, {os.cpu_count()} CPUs; {arguments.shape} with {shape.layers} layers to "
        f"{', '.join(types)}; {arguments.rounds} rounds; {others}\n"
    )
    unit = sum(tensor.size for tensor in linears) / 1e9
    rest = whole - merged[0]
    lines = [["rank", "read and merge, ns", "all, ns", "ratio"]]
    for rank, found in zip(ranks, merged, strict=True):
        figures = [f"{found / unit:.1f}", f"{(found + rest) / unit:.1f}"]
        lines.append([str(rank), *figures, f"{(found + rest) / whole:.3f}"])
    show(lines, markdown=arguments.markdown)


if __name__ == "__main__":
    main()
