"""First lines of scenes, out of a file: what anon says, and the model goes on with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.errors import SettingsError
from relay_gguf.synth.words import least_frequency

LONGEST: Final = 400
"""Characters of a starter that is used, as of any line of a scene."""


@dataclass(frozen=True, slots=True)
class StarterCounts:
    """How many lines a file had, and how many were left out: too long, seen before, rare words."""

    lines: int
    too_long: int
    seen: int
    rare: int


def read_starters(
    path: Path, field: str = "", *, min_zipf: float = 0.0
) -> tuple[tuple[str, ...], StarterCounts]:
    """The starters of a file, each once: a line each, or a field of JSON lines.

    Args:
        path: the file.
        field: the field of JSON lines; empty for a text file.
        min_zipf: every word must be at least so frequent, by Zipf's scale of wordfreq, which is the
            author's filter; 0 takes all.

    Raises:
        SettingsError: the file cannot be read, has no such field, or no starter is left; or
            wordfreq, which `min_zipf` needs, is not installed.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read the starters {path}: {error}.") from error
    if not field and path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        raise SettingsError(f"{path} looks like JSON lines: name the field with --field.")
    lines = [line for line in (_field(path, text, field) if field else text.splitlines()) if line]
    frequent = least_frequency() if min_zipf > 0 else None
    found: dict[str, None] = {}
    too_long = seen = rare = 0
    for starter in filter(None, _cleaned(lines)):
        if len(starter) > LONGEST:
            too_long += 1
        elif starter in found:
            seen += 1
        elif frequent is not None and frequent(starter) < min_zipf:
            rare += 1
        else:
            found[starter] = None
    if not found:
        raise SettingsError(
            f"No starter of {path} is left: {len(lines)} lines, {too_long} of them too long, "
            f"{rare} with rare words."
        )
    return tuple(found), StarterCounts(len(lines), too_long, seen, rare)


def _cleaned(lines: Iterable[str]) -> Iterator[str]:
    """Lines without line breaks and doubled spaces; empathetic_dialogues spells commas out."""
    for line in lines:
        yield " ".join(line.replace("_comma_", ",").split())


def _field(path: Path, text: str, field: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise SettingsError(f"{path}, line {number} is not JSON: {error}.") from error
        if not isinstance(value, dict) or not isinstance(value.get(field), str):
            known = ", ".join(value) if isinstance(value, dict) else "none"
            raise SettingsError(
                f"{path}, line {number} has no text in a field {field!r}. Its fields: {known}."
            )
        yield value[field]
