"""What people write into a model card and a generation_config.json, as values that GGUF can hold.

YAML takes `2407` in a list of tags for a number, `license: 2.0` too, `language: no` for false and
`2024-07-18` for a date: here they are the text that stands there. Other values of the wrong kind
are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import yaml

TEXTS: Final = (
    *("name", "author", "version", "organization", "finetune", "basename", "description"),
    *("quantized_by", "size_label", "license_name", "license_link", "url", "doi", "uuid"),
    *("repo_url", "source_url", "source_doi", "source_uuid", "source_repo_url"),
)
"""Fields of gguf's `Metadata` that hold a text."""
LISTS: Final = ("tags", "languages")
ORIGINS: Final = ("base_models", "datasets")
WHOLE: Final = ("top_k", "penalty_last_n")
"""Settings of sampling that are whole numbers; the others but `sequence` are fractions."""
LARGEST: Final = {True: float((1 << 31) - 1), False: 3.4e38}
"""The largest number that a whole setting can have (int32), and another one (float32)."""


_CardLoader: Any = type(
    "_CardLoader",
    (yaml.SafeLoader,),
    {
        "yaml_implicit_resolvers": {
            first: [pair for pair in resolvers if pair[0].endswith((":null", ":merge"))]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
    },
)
"""Takes every value for a text, but for those that are empty."""


def front_matter(folder: Path) -> dict[str, Any]:
    """The YAML at the beginning of the model card; empty where the card is missing or damaged."""
    try:
        lines = (folder / "README.md").read_text("utf-8-sig").splitlines()
        if lines[:1] != ["---"]:
            return {}
        end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
        text = "\n".join(lines[1:end]).replace("\t", "  ")
        found = yaml.load(text, Loader=_CardLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file that tells only extras; empty where there is none."""
    try:
        found = json.loads(path.read_bytes())  # in UTF-16 too, and behind a byte order mark
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def sampling_value(name: str, value: object) -> float | str | None:
    """A setting of generation_config.json as GGUF holds it; None if it is not such a value.

    `50.0` is a whole number, and `"0.7"` a number.
    """
    if name == "sequence":
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    whole = name in WHOLE
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or abs(number) > LARGEST[whole]:
        return None
    if whole:
        return int(number) if number.is_integer() else None
    return value if isinstance(value, int | float) else number


def keep_valid(found: gguf.Metadata) -> gguf.Metadata:
    """The same metadata without values that GGUF cannot hold."""
    for name in TEXTS:
        setattr(found, name, _text(getattr(found, name)))
    given = found.license
    found.license = ",".join(_texts(given)) if isinstance(given, list) else _text(given)
    found.license = found.license or None
    for name in LISTS:
        setattr(found, name, _texts(getattr(found, name)) or None)
    for name in ORIGINS:
        entries = getattr(found, name)
        if entries is not None:
            setattr(found, name, [_entry(entry) for entry in entries if isinstance(entry, dict)])
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def _texts(values: object) -> list[str]:
    found = map(_text, values) if isinstance(values, list | tuple) else []
    return [text for text in found if text]


def _entry(entry: Mapping[Any, Any]) -> dict[str, str]:
    """A base model or data set: its fields that are texts."""
    found = {str(key): _text(value) for key, value in entry.items()}
    return {key: text for key, text in found.items() if text}
