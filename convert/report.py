"""The report beside each file: its origin, the checks, and the errors of quantization."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from relay_gguf.version import __version__

from .budget.allocation import Allocation
from .job import ConversionJob
from .quantize.ggml import Type
from .write.encode import TensorStats
from .write.targets import QuantTarget

REPORT: Final = ".report.json"


def make_report(
    job: ConversionJob,
    target: QuantTarget,
    stats: Mapping[str, TensorStats],
    digests: Sequence[str],
    *,
    verified: bool,
) -> dict[str, Any]:
    """The report on a type's files, as JSON has it.

    Errors are relative: root mean square of (file - merged weights in float32) over that of the
    weights. `merge` has the norm of the adapter's change over the base's, by kind of tensor.

    Args:
        job: that made the files.
        target: the type and its files.
        stats: tensor name → sums over its values.
        digests: the SHA-256 of each file.
        verified: whether the files were checked.
    """
    names = [file.name for file in target.files]
    checks = {
        "read_back": "every tensor's bytes are on the disk and are valid values of its type",
        "opened_by_llama_cpp": True,
        "texts_tokenized_alike": len(job.model.probes),
    }
    by_kind: dict[Type, list[str]] = {}
    for name, kind in target.types.items():
        by_kind.setdefault(kind, []).append(name)
    shapes = {tensor.name: tensor.shape for tensor in job.tensors}
    return {
        "type": target.ftype,
        "files": [
            {"name": name, "bytes": file.layout.size, "sha256": digest}
            for name, file, digest in zip(names, target.files, digests, strict=True)
        ],
        "made_by": f"relay-gguf {__version__}",
        "encoders": f"llama-cpp-python {version('llama-cpp-python')}",
        "origin": dict(job.model.origin),
        "fetched": fetched_files(job),
        "imatrix": None if job.imatrix is None else job.imatrix.file,
        "overrides": target.overrides.in_words,
        **({"target": allocation_json(chosen)} if (chosen := job.allocation_of(target)) else {}),
        "notes": [*job.model.notes, *target.notes],
        "verified": checks if verified else None,
        "error": relative_error(stats, target.types.items()),
        "error_by_type": {
            kind.name: {
                "tensors": len(members),
                "error": relative_error(stats, ((name, kind) for name in members)),
            }
            for kind, members in sorted(by_kind.items())
        },
        "merge": merge_norms(job, stats),
        "not_finite": {n: stats[n].not_finite for n in target.types if stats[n].not_finite},
        "tensors": [
            {
                "name": name,
                "type": kind.name,
                "shape": list(shapes[name]),
                "error": _figure(stats[name].relative_error(kind)),
                "largest_error": _figure(stats[name].errors[kind].largest),
                **({"not_finite": n} if (n := stats[name].not_finite) else {}),
            }
            for name, kind in target.types.items()
        ],
    }


def allocation_json(allocation: Allocation) -> dict[str, Any]:
    """How types were chosen for a size, and what was predicted, as JSON has it.

    Divergences are in nats, by the rule of `budget.damage`: to be compared with each other, and
    measured by `relay-gguf quality`.
    """
    return {
        "asked": allocation.target.in_words,
        "limit": allocation.limit,
        "bits_per_weight": round(allocation.bits, 4),
        "predicted": _figure(allocation.predicted),
        "least_possible": _figure(allocation.bound),
        "standard": {
            "type": allocation.standard.ftype,
            "bytes": allocation.standard_bytes,
            "predicted": _figure(allocation.standard_damage),
        },
        "damage": {name: _figure(nats) for name, nats in allocation.damage.items() if nats},
    }


def relative_error(
    stats: Mapping[str, TensorStats], tensors: Iterable[tuple[str, Type]]
) -> float | None:
    """The relative error of several tensors together; None where values are not finite."""
    errors, squares = 0.0, 0.0
    for name, kind in tensors:
        errors += stats[name].errors[kind].squares
        squares += stats[name].squares
    return _figure(math.sqrt(errors / squares)) if squares else 0.0


def fetched_files(job: ConversionJob) -> list[dict[str, Any]]:
    """The files that were read on the hub, and whether their SHA-256 was compared.

    It can be where a file's tensors are read in its own order, in one go.
    """
    fetching = job.model.fetching
    return [
        {
            "name": f"{file.repo}/{file.name}",
            "commit": file.commit,
            "bytes": file.size,
            "sha256": file.sha256,
            "sha256_checked": file.checked,
        }
        for file in (fetching.files if fetching else ())
    ]


def merge_norms(
    job: ConversionJob, stats: Mapping[str, TensorStats]
) -> dict[str, dict[str, float | None]]:
    """How far the adapter moved the weights, by kind of tensor: `attn_q`, `ffn_up`, ..."""
    kinds: dict[str, list[TensorStats]] = {}
    for tensor in job.tensors:
        if tensor.changed:
            kinds.setdefault(layer_kind(tensor.name), []).append(stats[tensor.name])
    norms: dict[str, dict[str, float | None]] = {}
    for kind, members in sorted(kinds.items()):
        base = sum(member.base_squares for member in members)
        moved = sum(member.moved_squares for member in members)
        norms[kind] = {
            "tensors": len(members),
            "moved": _figure(math.sqrt(moved / base)) if base else 0.0,
        }
    return norms


def layer_kind(name: str) -> str:
    """`attn_q` for `blk.7.attn_q.weight`, `token_embd` for `token_embd.weight`."""
    return name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]


def _figure(value: float) -> float | None:
    """A number rounded to eight decimals; None for NaN and infinity, which JSON does not have."""
    return round(value, 8) if math.isfinite(value) else None
