"""What a GGUF file is and what is wrong with it, in lines for a person or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from relay_gguf.convert.template import KEY, kind_of
from relay_gguf.display import one_line, size
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.facts import EMBEDDING, OUTPUT, Facts, entries, text, texts, type_name

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


def inspect_lines(facts: Facts, findings: Sequence[Finding]) -> Iterator[str]:
    """What the file is, a blank line, and each finding with its remedy below it."""
    yield one_line(str(facts.path))
    for label, value in _rows(facts):
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
    """All in a line."""
    n_problems = sum(finding.level == "problem" for finding in findings)
    n_notes = sum(finding.level == "note" for finding in findings)
    if not n_problems and not n_notes:
        return "Nothing is wrong."
    counts = [(n_problems, "problem"), (n_notes, "note")]
    return ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n) + "."


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """What the file says of itself, and what its tensors take."""
    keys, need = facts.keys, facts.memory()
    yield "name", text(keys, "general.name")
    known = [facts.architecture or "unknown"]
    known += [f"{count(facts.n_parameters)} parameters"] if facts.n_parameters else []
    yield "architecture", ", ".join(known)
    bits = [f"{facts.bits:.2f} bits per weight"] if facts.bits else []
    n_parts = len(facts.parts) + len(facts.missing)
    split = [f"{n_parts} parts"] if n_parts > 1 else []
    yield "size", ", ".join([size(facts.size), *split, *filter(None, [facts.ftype]), *bits])
    yield "tensors", ", ".join(f"{s.count} {s.kind} ({size(s.n_bytes)})" for s in facts.types)
    yield "embedding", _embedding(facts)
    n_tokens = len(tokens_of(facts))
    vocabulary = [text(keys, "tokenizer.ggml.model"), text(keys, "tokenizer.ggml.pre")]
    yield (
        "vocabulary",
        ", ".join([f"{n_tokens:,} tokens", *filter(None, vocabulary)] if n_tokens else []),
    )
    if need is not None:
        parts = f"weights {size(need.weights)}, cache {size(need.kv)}, work {size(need.compute)}"
        n_ctx = min(DEFAULT_N_CTX, facts.context_length or DEFAULT_N_CTX)
        yield "memory", f"about {size(need.total)} with {n_ctx} tokens of context: {parts}"
    yield "sampling", settings_in_words(facts)
    yield "license", text(keys, "general.license")
    yield "author", text(keys, "general.author")
    for label, kind in (("base model", "base_model"), ("data", "dataset")):
        yield label, ", ".join(e.get("repo_url") or e.get("name", "") for e in entries(keys, kind))
    yield "languages", ", ".join(texts(keys, "general.languages"))
    yield "made by", text(keys, "general.quantized_by")
    yield "merged", merge_in_words(facts.origin)


def _embedding(facts: Facts) -> str:
    embedding, output = facts.tensor(EMBEDDING), facts.tensor(OUTPUT)
    if embedding is None:
        return ""
    return f"{type_name(embedding)}, output {type_name(output) if output else 'the same'}"


def merge_in_words(origin: dict[str, str]) -> str:
    """`adapter into base (original)`; just the source of a model that was whole."""
    if "adapter" not in origin:
        return ""
    into = f"{origin['adapter']} into {origin.get('source', 'unknown')}"
    return f"{into} ({origin['merge_base']})" if "merge_base" in origin else into


def settings_in_words(facts: Facts, without: Sequence[str] = ()) -> str:
    """`temperature 0.3, top-k 40, ...`"""
    given = facts.sampling
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


def inspect_json(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same for a program; what a file does not say is null or empty."""
    keys, need = facts.keys, facts.memory()
    return {
        "file": str(facts.path),
        "parts": [part.path.name for part in facts.parts],
        "bytes": facts.size,
        "name": text(keys, "general.name"),
        "architecture": facts.architecture,
        "parameters": facts.n_parameters,
        "type": facts.ftype,
        "bits_per_weight": round(facts.bits, 4),
        "tensors": {s.kind: {"count": s.count, "bytes": s.n_bytes} for s in facts.types},
        "context_length": facts.context_length,
        "vocabulary": len(tokens_of(facts)),
        "template": kind_of(text(keys, KEY)),
        "memory": need and {"weights": need.weights, "cache": need.kv, "work": need.compute},
        "sampling": {name: _plain(value) for name, value in facts.sampling.items()},
        "license": text(keys, "general.license"),
        "author": text(keys, "general.author"),
        "base_models": [dict(entry) for entry in entries(keys, "base_model")],
        "datasets": [dict(entry) for entry in entries(keys, "dataset")],
        "languages": texts(keys, "general.languages"),
        "made_by": text(keys, "general.quantized_by"),
        "relay": facts.origin,
        "findings": [
            {"level": f.level, "check": f.check, "text": f.text, "remedy": f.remedy}
            for f in findings
        ],
        "ok": not has_problem(findings),
    }


def _plain(value: Any) -> Any:
    """A value that JSON can hold: it has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
