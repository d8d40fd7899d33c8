"""Which file suits whom, by what `relay-gguf quality` measured: quality.json of a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.display import size

from .modelcard import PublishedType, code, escaped

MEASURED: Final = "quality.json"
PICTURES: Final = ("quality.svg", "quality.png")
"""The plot of size against divergence; the first one that is there is shown."""
GROUPS: Final = {"user": "in the lines that the model says", "all": "in all of them"}
"""The positions that count, the first that were measured."""
SUITS: Final = (
    (0.002, "hardly to be told from the base"),
    (0.02, "where there is room"),
    (0.06, "the usual choice"),
    (0.2, "where memory is short"),
    (math.inf, "only where nothing else fits"),
)
"""Divergences up to which a file suits for something. Llama 3 8B has 0.001 at Q8_0, 0.006 at Q6_K,
0.011 at Q5_K_M, 0.031 at Q4_K_M, 0.10 at Q3_K_M and 0.45 at Q2_K, as llama.cpp's page says."""
BASE: Final = "the base itself: to measure and to convert"


@dataclass(frozen=True, slots=True)
class MeasuredType:
    """A file's divergence from the base in nats, and how often both expect the same token most."""

    kld: float
    error: float
    same_top: float


@dataclass(frozen=True, slots=True)
class MeasuredFolder:
    """What was measured of a folder's files, by their names, but for those that changed since."""

    base: str
    text: str
    whose: str
    n_positions: int
    files: Mapping[str, MeasuredType]
    picture: str = ""


def read_measured(folder: Path) -> MeasuredFolder | None:
    """The measurement that lies in a folder; None where there is none of its files."""
    path = folder / MEASURED
    try:
        found = json.loads(path.read_text("utf-8"))
        group = next(name for name in GROUPS if all(name in f["groups"] for f in found["files"]))
        when = path.stat().st_mtime_ns
        files = {
            str(file["name"]): _measured(file["groups"][group])
            for file in found["files"]
            if Path(file["name"]).name == file["name"]
            and _is_same(folder / str(file["name"]), int(file["bytes"]), when)
        }
        counted = int(found["files"][0]["groups"][group]["n_positions"])
        base, text = str(found["base"].get("model", "")), str(found["text"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration):
        return None
    if not files:
        return None
    picture = next((name for name in PICTURES if (folder / name).is_file()), "")
    return MeasuredFolder(base, text, GROUPS[group], counted, files, picture)


def _measured(group: Mapping[str, Any]) -> MeasuredType:
    kld = group["kld"]
    return MeasuredType(float(kld["value"]), float(kld["error"]), float(group["same_top"]["value"]))


def _is_same(path: Path, n_bytes: int, when: int) -> bool:
    """Whether a file is the one that was measured at that time."""
    if not path.is_file():
        return False
    there = path.stat()
    return there.st_size <= n_bytes and there.st_mtime_ns <= when  # of a split one, the first


def which_one(found: Sequence[PublishedType], measured: MeasuredFolder) -> Iterator[str]:
    """The blocks of the card's section: a table, the plot, and what the numbers are."""
    rows = [
        "| file | size | needs | divergence | same top token | what for |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for entry in found:
        name = entry.names[0]
        seen = measured.files.get(name)
        if seen is None and name != measured.base:
            continue
        need = entry.model.memory()
        cells = [
            code(name),
            size(entry.model.size),
            size(need.total) if need else "",
            "" if seen is None else f"{seen.kld:.4f} ± {seen.error:.4f}",
            "" if seen is None else f"{seen.same_top:.1%}",
            BASE if seen is None else suits(seen.kld),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    yield "\n".join(rows)
    if measured.picture:
        yield f"![Size against divergence]({measured.picture})"
    base = code(measured.base) if measured.base else "its base"
    yield (
        f"The divergence tells how differently a file expects the next token than {base}: the "
        f"Kullback-Leibler divergence in nats, the mean of {measured.n_positions:,} tokens of "
        f"{escaped(measured.text)}, {measured.whose}. `relay-gguf quality` measured it; 0 is the "
        "same as the base."
    )


def suits(kld: float) -> str:
    """What a file of this divergence is for, in a few words."""
    return next(words for most, words in SUITS if kld < most or most == math.inf)
