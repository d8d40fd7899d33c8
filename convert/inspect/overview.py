"""A GGUF file and its findings, in lines for a person or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from relay_gguf.convert.template import KEY, template_kind
from relay_gguf.display import one_line, size
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.gguf_model import EMBEDDING, OUTPUT, GgufModel, type_name
from relay_gguf.gguf_file.values import entries, text, texts

from .finding import Finding, has_problem
from .token_checks import tokens_of

LABEL: Final = 14
SETTINGS: Final = {
    "temp": "temperature",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "penalty_repeat": "repetition penalty",
    "penalty_last_n": "penalty window",
    "sequence": "order",
}
"""Sampling defaults in words."""


def inspect_lines(model: GgufModel, findings: Sequence[Finding]) -> Iterator[str]:
    """The file, a blank line, and each finding with its remedy below it."""
    yield one_line(str(model.path))
    for label, value in _rows(model):
        if value:
            yield f"{label:{LABEL}}{one_line(value)}"
    yield ""
    for finding in findings:
        yield f"{finding.level:8} {one_line(finding.text)}"
        if finding.remedy:
            yield f"{'':8} > {one_line(finding.remedy)}"
    yield ""
    yield summary(findings)


def summary(findings: Sequence[Finding]) -> str:
    """The numbers of problems and notes, in a line."""
    n_problems = sum(finding.level == "problem" for finding in findings)
    n_notes = sum(finding.level == "note" for finding in findings)
    if not n_problems and not n_notes:
        return "Nothing is wrong."
    counts = [(n_problems, "problem"), (n_notes, "note")]
    return ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n) + "."


def _rows(model: GgufModel) -> Iterator[tuple[str, str]]:
    """Labels and values of the file's metadata, and of the memory that it takes."""
    metadata, need = model.metadata, model.memory()
    yield "name", text(metadata, "general.name")
    known = [model.architecture or "unknown"]
    known += [f"{count(model.n_parameters)} parameters"] if model.n_parameters else []
    yield "architecture", ", ".join(known)
    bits = [f"{model.bits:.2f} bits per weight"] if model.bits else []
    n_shards = len(model.shards) + len(model.missing)
    split = [f"{n_shards} shards"] if n_shards > 1 else []
    yield "size", ", ".join([size(model.size), *split, *filter(None, [model.ftype]), *bits])
    yield "tensors", ", ".join(f"{s.count} {s.name} ({size(s.n_bytes)})" for s in model.types)
    yield "embedding", _embedding(model)
    n_tokens = len(tokens_of(model))
    vocabulary = [text(metadata, "tokenizer.ggml.model"), text(metadata, "tokenizer.ggml.pre")]
    yield (
        "vocabulary",
        ", ".join([f"{n_tokens:,} tokens", *filter(None, vocabulary)] if n_tokens else []),
    )
    if need is not None:
        parts = f"weights {size(need.weights)}, cache {size(need.kv)}, compute {size(need.compute)}"
        n_ctx = min(DEFAULT_N_CTX, model.context_length or DEFAULT_N_CTX)
        yield "memory", f"about {size(need.total)} with {n_ctx} tokens of context: {parts}"
    yield "sampling", settings_in_words(model)
    yield "license", text(metadata, "general.license")
    yield "author", text(metadata, "general.author")
    for label, kind in (("base model", "base_model"), ("data", "dataset")):
        yield (
            label,
            ", ".join(e.get("repo_url") or e.get("name", "") for e in entries(metadata, kind)),
        )
    yield "languages", ", ".join(texts(metadata, "general.languages"))
    yield "made by", text(metadata, "general.quantized_by")
    yield "merged", merge_in_words(model.origin)


def _embedding(model: GgufModel) -> str:
    embedding, output = model.tensor(EMBEDDING), model.tensor(OUTPUT)
    if embedding is None:
        return ""
    return f"{type_name(embedding)}, output {type_name(output) if output else 'the same'}"


def merge_in_words(origin: dict[str, str]) -> str:
    """`adapter into base (original)`; empty for a model without an adapter."""
    if "adapter" not in origin:
        return ""
    into = f"{origin['adapter']} into {origin.get('source', 'unknown')}"
    return f"{into} ({origin['merge_base']})" if "merge_base" in origin else into


def settings_in_words(model: GgufModel, without: Sequence[str] = ()) -> str:
    """`temperature 0.3, top-k 40, ...`"""
    given = model.sampling
    names = [
        *(name for name in SETTINGS if name in given),
        *(n for n in given if n not in SETTINGS),
    ]
    return ", ".join(
        f"{SETTINGS.get(name, name)} {_shown(given[name])}" for name in names if name not in without
    )


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def count(number: int) -> str:
    """`12.2 billion`, `134.5 million`."""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,}"


def inspect_json(model: GgufModel, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same for a program; values that a file lacks are null or empty."""
    metadata, need = model.metadata, model.memory()
    return {
        "file": str(model.path),
        "parts": [shard.path.name for shard in model.shards],
        "bytes": model.size,
        "name": text(metadata, "general.name"),
        "architecture": model.architecture,
        "parameters": model.n_parameters,
        "type": model.ftype,
        "bits_per_weight": round(model.bits, 4),
        "tensors": {s.name: {"count": s.count, "bytes": s.n_bytes} for s in model.types},
        "context_length": model.context_length,
        "vocabulary": len(tokens_of(model)),
        "template": template_kind(text(metadata, KEY)),
        "memory": need and {"weights": need.weights, "cache": need.kv, "work": need.compute},
        "sampling": {name: _plain(value) for name, value in model.sampling.items()},
        "license": text(metadata, "general.license"),
        "author": text(metadata, "general.author"),
        "base_models": [dict(entry) for entry in entries(metadata, "base_model")],
        "datasets": [dict(entry) for entry in entries(metadata, "dataset")],
        "languages": texts(metadata, "general.languages"),
        "made_by": text(metadata, "general.quantized_by"),
        "relay": model.origin,
        "findings": [
            {"level": f.level, "check": f.check, "text": f.text, "remedy": f.remedy}
            for f in findings
        ],
        "ok": not has_problem(findings),
    }


def _plain(value: Any) -> Any:
    """A value that JSON can hold, which has neither NaN nor infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
