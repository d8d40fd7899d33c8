"""The plan of a conversion in lines for a person or as JSON, and its result in lines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from relay_gguf.convert.arch.weights import FLOATS
from relay_gguf.convert.budget.allocation import Allocation
from relay_gguf.convert.budget.candidates import bits_of
from relay_gguf.convert.job import ConversionJob
from relay_gguf.convert.read.merge import SLAB_BYTES
from relay_gguf.convert.report import REPORT, allocation_json, layer_kind
from relay_gguf.convert.run import ConvertedFiles
from relay_gguf.convert.write.encode import AHEAD
from relay_gguf.convert.write.targets import QuantTarget
from relay_gguf.display import listed, one_line, size, visible
from relay_gguf.hub.ahead import LIMIT

AT_REST: Final = 170_000_000
"""Bytes that Python, its libraries and a vocabulary take, about (measured on Linux)."""
ROUNDED: Final = 0.63
"""Bytes a value of the matrix that is being rounded to NF4: its code, and its part of a scale."""
SLABS_IN_WORK: Final = 8
"""Copies of a slab that a thread holds while it merges, encodes and measures."""


def plan_lines(
    job: ConversionJob, out: Path, *, in_full: bool, n_threads: int | None
) -> Iterator[str]:
    """The model and its files; with `in_full` also types of tensors, coverage and memory."""
    yield one_line(_origin(job))
    origin = job.model.origin
    chosen = origin.get("merge_base", "original")
    if chosen not in ("original", job.request.merge_base):
        yield one_line(f"{chosen}: {origin['merge_reason']}.")
    if (source := source_line(job)) is not None:
        yield one_line(source)
    width = max(len(target.ftype) for target in job.targets)
    for target in job.targets:
        files = [file.name for file in target.files]
        n_more = len(files) - 1
        names = files[0] + (f" and {n_more} more shard{'s' * (n_more > 1)}" if n_more else "")
        yield f"{target.ftype:{width}}  {size(target.size):>8}  {one_line(str(out / names))}"
        if in_full:
            yield f"{'':{width}}  {_types(target)}"
            if target.overrides.in_words:
                said = one_line(f"asked for: {', '.join(target.overrides.in_words)}")
                yield f"{'':{width}}  {said}"
        if (allocation := job.allocation_of(target)) is not None:
            yield from allocation_lines(allocation, job)
    if in_full:
        for kind, (changed, count) in coverage(job).items():
            yield f"{kind}: {changed} of {count} changed by the adapter"
        yield f"disk: {job.size:,} bytes; memory: about {size(memory(job, n_threads))}"
    for note in job.notes:
        yield one_line(f"Note: {note}")


def allocation_lines(allocation: Allocation, job: ConversionJob) -> Iterator[str]:
    """What was chosen for a file with a target size, and why, as a short table."""
    shapes = {tensor.name: tensor.size for tensor in job.tensors}
    standard = allocation.standard
    yield ""
    yield f"{'tensors':>13}  {'bits':>5}  {'damage':>6}  types"
    for kind, names in _by_kind(allocation).items():
        count = Counter(allocation.types[name].name for name in names)
        bits = sum(shapes[name] * bits_of(allocation.types[name]) for name in names)
        share = sum(allocation.damage[name] for name in names) / (allocation.predicted or 1.0)
        types = ", ".join(f"{n} {name}" for name, n in count.most_common())
        n_weights = sum(shapes[name] for name in names)
        yield f"{kind:>13}  {bits / n_weights:5.2f}  {share:6.1%}  {types}"
    less = 1 - allocation.predicted / (allocation.standard_damage or 1.0)
    than = "less" if less >= 0 else "more"
    yield (
        f"Chosen for at most {allocation.limit:,} bytes: predicted damage "
        f"{abs(less):.0%} {than} than {standard.ftype}'s of {size(allocation.standard_bytes)}. No "
        f"choice of these types could have {_above(allocation):.1%} less."
    )
    yield ""


def _above(allocation: Allocation) -> float:
    """How much less damage the bound has than what was chosen, as a share."""
    found = allocation.predicted
    return max(0.0, 1 - allocation.bound / found) if found else 0.0


def _by_kind(allocation: Allocation) -> dict[str, list[str]]:
    """Kind of tensor → the tensors of it whose types were chosen."""
    kinds: dict[str, list[str]] = {}
    for name, damage in allocation.damage.items():
        if damage or allocation.types[name] not in FLOATS:
            kinds.setdefault(layer_kind(name), []).append(name)
    return kinds


def plan_json(job: ConversionJob, n_threads: int | None) -> dict[str, Any]:
    """The plan for a program, as JSON has it."""
    return {
        "origin": dict(job.model.origin),
        "files": [
            {"type": t.ftype, "name": file.name, "bytes": file.layout.size}
            for t in job.targets
            for file in t.files
        ],
        "tensors": {target.ftype: dict(target.n_tensors) for target in job.targets},
        "coverage": coverage(job),
        "target": None if job.allocation is None else allocation_json(job.allocation),
        "bytes": job.size,
        "fetched": job.to_fetch,
        "memory": memory(job, n_threads),
        "notes": list(job.notes),
    }


def result_lines(finished: Sequence[ConvertedFiles], out: Path) -> Iterator[str]:
    """A table of the files that were made, and the checks."""
    if not finished:
        return
    yield ""
    width = max(4, *(len(event.ftype) for event in finished))
    yield f"{'type':{width}}  {'size':>8}  {'error':>7}  sha256"
    for event in finished:
        error = _share(event.report["error"])
        for file in event.report["files"]:
            yield (
                f"{event.ftype:{width}}  {size(file['bytes']):>8}  {error:>7}  "
                f"{file['sha256'][:12]}  {visible(file['name'])}"
            )
    report = finished[0].report
    if report["merge"]:
        moved = [f"{kind} {_share(entry['moved'], 1)}" for kind, entry in report["merge"].items()]
        yield f"The adapter moved {', '.join(moved)}."
    for name, count in report["not_finite"].items():
        yield f"Not finite: {count} values of {visible(name)}."
    if report["fetched"]:
        yield _checked(report["fetched"])
    if report["verified"]:
        alike = report["verified"]["texts_tokenized_alike"]
        texts = f", {alike} texts tokenized as by the tokenizer" if alike else ""
        yield f"Read back from the disk, opened by llama.cpp{texts}."
    yield f"All figures: {one_line(str(out))}{os.sep}*{REPORT}"


def _checked(files: Sequence[Mapping[str, Any]]) -> str:
    """What was compared of the files that were read on the hub."""
    unchecked = [file["name"].rpartition("/")[2] for file in files if not file["sha256_checked"]]
    if not unchecked:
        return "What was read from the hub has the SHA-256 that the hub tells."
    return one_line(
        f"The SHA-256 of {listed(unchecked)} on the hub was not compared: that takes reading a "
        "file whole and in its own order."
    )


def coverage(job: ConversionJob) -> dict[str, tuple[int, int]]:
    """Kind of tensor → how many the adapter changes, and how many there are.

    Empty without an adapter.
    """
    changed = Counter(layer_kind(tensor.name) for tensor in job.tensors if tensor.changed)
    counts = Counter(layer_kind(tensor.name) for tensor in job.tensors)
    return {kind: (changed[kind], counts[kind]) for kind in sorted(changed)}


def source_line(job: ConversionJob) -> str | None:
    """How many bytes come from the hub, and what becomes of them; None if none do."""
    fetching, n_bytes = job.model.fetching, job.to_fetch
    if fetching is None or not n_bytes:
        return None
    first = fetching.files[0]
    place = f"{first.repo} at commit {first.commit[:12]}"
    if job.request.keep_source:
        return f"Downloads {size(n_bytes)} from {place} first, and keeps them in the hub's cache."
    return f"Reads {size(n_bytes)} from {place}, and stores none of it (--keep-source does)."


def memory(job: ConversionJob, n_threads: int | None) -> int:
    """Bytes of memory that a conversion takes, about; they hardly depend on the model."""
    slabs = (n_threads or os.cpu_count() or 1) * (SLABS_IN_WORK + AHEAD)
    rounded = 0
    if job.model.origin.get("merge_base", "original") != "original":
        inner = [t.size for t in job.tensors if len(t.shape) > 1 and t.name.startswith("blk.")]
        rounded = int(max(inner, default=0) * ROUNDED)
    fetched = LIMIT if job.to_fetch else 0
    return AT_REST + slabs * SLAB_BYTES + rounded + fetched


def _share(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}%}"


def _origin(job: ConversionJob) -> str:
    origin = job.model.origin
    if "adapter" not in origin:
        return f"{origin['source']}, {len(job.tensors)} tensors"
    changed = sum(tensor.changed for tensor in job.tensors)
    return (
        f"{origin['adapter']} merged into {origin['source']} ({origin['merge_base']}): "
        f"{changed} of {len(job.tensors)} tensors change"
    )


def _types(target: QuantTarget) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in target.n_tensors.most_common())
