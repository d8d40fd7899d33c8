"""The data card: of which model, starters and options conversations were made, and how filtered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from relay_gguf.version import __version__

from .filters.sieve import Sifted
from .filters.thresholds import Thresholds
from .raw.run_file import SynthRun
from .variety import counts_table

UNTOLD = "not told"


def card(
    name: str,
    runs: Sequence[SynthRun],
    result: Sifted,
    at: Thresholds,
    *,
    license: str,
    form: str,
    n_held_out: int,
) -> str:
    """The card in Markdown, with the front matter that the hub reads.

    Args:
        name: of the data set's file.
        runs: the runs that scenes are of, as far as their run files were there.
        result: what the filters made of the scenes.
        at: what they allowed.
        license: of the data set, as its maker chose it; empty if not.
        form: of the file, in a few words.
        n_held_out: conversations in the file that is held out.
    """
    return "\n".join(
        [
            *_front(license, at.language),
            *_intro(name, result, form, n_held_out),
            *(line for run in runs for line in _run(run)),
            *_filters(result, at),
        ]
    )


def _front(license: str, language: str) -> Iterator[str]:
    yield "---"
    if license:
        yield f"license: {json.dumps(license, ensure_ascii=False)}"
    yield f"language:\n- {json.dumps(language, ensure_ascii=False)}"
    yield "task_categories:\n- text-generation\ntags:\n- synthetic\n- irc\n- relay-gguf\n---\n"


def _intro(name: str, result: Sifted, form: str, n_held_out: int) -> Iterator[str]:
    held = f" {n_held_out:,} of them are held out." if n_held_out else ""
    yield f"""# {_cell(name)}

{len(result.kept):,} conversations of two people in an IRC channel, {form}.{held}
A language model wrote them by going on with the raw text of a channel; nobody said any of it. Made
with relay-gguf {__version__}.

What a model writes may be wrong, unfair or rude, and may repeat what it was trained on. Filters
have dropped what they find; nobody has read all of it.
"""


def _run(run: SynthRun) -> Iterator[str]:
    model, origin = run.model, run.origin
    rows = {
        "base model": f"{model.name or model.file} {model.ftype}".strip(),
        "its file": f"{model.file}, SHA-256 `{model.sha256}`",
        "its license": model.license or f"{UNTOLD} in its file",
        "starters": _starters(run),
        "example scenes": f"{run.options.get('n_examples')} a prompt, {origin.get('examples')}",
        "channels, topics, bios": origin.get("words") or UNTOLD,
        "sampling": _sampling(run),
        "run": f"`{run.identity}`",
    }
    yield "## Made of\n\n| | |\n|---|---|"
    yield from (f"| {key} | {_cell(str(value))} |" for key, value in rows.items())
    yield ""


def _starters(run: SynthRun) -> str:
    origin = run.origin
    if not origin.get("n_starters"):
        return "written by the model"
    zipf = run.options.get("min_zipf")
    rare = f", words of Zipf frequency {zipf:g} or more" if zipf else ""
    return (
        f"{origin['n_starters']:,} of {origin.get('starters')}{rare}; "
        f"license: {origin.get('starters_license') or UNTOLD}"
    )


def _sampling(run: SynthRun) -> str:
    names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "head")
    return ", ".join(f"{name} {run.options.get(name)}" for name in names)


def _filters(result: Sifted, at: Thresholds) -> Iterator[str]:
    allowed: dict[str, Any] = asdict(at)
    del allowed["without"]
    told = ", ".join(f"{name} {value}" for name, value in allowed.items())
    yield f"## Filters\n\nThresholds: {told}.\n\n| filter | dropped | found | |\n|---|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in counts_table(result))
    yield ""


def _cell(text: str) -> str:
    """Text of one line, without what ends a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
