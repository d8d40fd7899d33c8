"""What the name of a GGUF file says: model, type, shard.

relay-v0.1-Mistral-Nemo-12B-2407-F16-00001-of-00002.gguf
└───────────── model ──────────┘ type └─ shard 1 of 2
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENDING: Final = ".gguf"
_NAME = re.compile(
    r"(?P<model>.*?)"
    r"(?:[-.](?P<ftype>(?:(?:UD-)?I?Q\d\w*|TQ\d_\d|MXFP\d\w*|NVFP\d|BF16|FP?16|FP?32)"
    r"(?:-\d+\.\d+bpw)?))?"
    r"(?:-(?P<number>\d{5})-of-(?P<count>\d{5}))?"
    r"\.gguf",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class FileName:
    """The fields of a file name; a model in a single file is shard 1 of 1."""

    model: str
    ftype: str = ""
    number: int = 1
    count: int = 1


def parse_name(name: str) -> FileName:
    """The fields of a file name; one that does not end in .gguf is the model's name as it is."""
    match = _NAME.fullmatch(name)
    if match is None:
        return FileName(name)
    number, count = int(match["number"] or 1), int(match["count"] or 1)
    return FileName(match["model"], match["ftype"] or "", number, count)


def shard_paths(path: Path) -> list[Path]:
    """The files of a model, in order: all its shards, whichever of them `path` names."""
    count = parse_name(path.name).count
    if count < 2:
        return [path]
    stem = path.name[: -len("-00001-of-00002.gguf")]
    names = [f"{stem}-{n:05d}-of-{count:05d}{path.suffix}" for n in range(1, count + 1)]
    return [path.with_name(name) for name in names]
