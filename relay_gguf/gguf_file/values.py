"""Metadata values of the type that is expected: a damaged or foreign file may have any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .header import Metadata

MOST_ENTRIES: Final = 100
"""Base models or data sets of a file that are read, at most."""


def text(metadata: Metadata, key: str) -> str:
    """A string; empty where there is none, or a value of another type."""
    value = metadata[key].value if key in metadata else ""
    return value if isinstance(value, str) else ""


def texts(metadata: Metadata, key: str) -> list[str]:
    """The strings of an array, or a single string; values of other types are left out."""
    value = metadata[key].value if key in metadata else []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def integer(metadata: Metadata, key: str) -> int | None:
    """An integer; None where there is none, or a value of another type."""
    value = metadata[key].value if key in metadata else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def integers(metadata: Metadata, key: str) -> list[int]:
    """The integers of an array, or a single integer; values of other types are left out."""
    value = metadata[key].value if key in metadata else []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


def entries(metadata: Metadata, kind: str) -> list[Mapping[str, str]]:
    """The file's base models (`base_model`) or data sets (`dataset`), each as field → text.

    Fields are `name`, `organization`, `repo_url`, ..., from `general.base_model.0.name` and so on.
    """
    count = min(integer(metadata, f"general.{kind}.count") or 0, MOST_ENTRIES)
    prefixes = [f"general.{kind}.{number}." for number in range(count)]
    return [
        {
            key.removeprefix(prefix): text(metadata, key)
            for key in metadata
            if key.startswith(prefix)
        }
        for prefix in prefixes
    ]


def repo_of(entry: Mapping[str, str]) -> str:
    """`owner/name` on the hub of a base model or data set; empty where it is not on the hub."""
    url = entry.get("repo_url", "")
    hub = "https://huggingface.co/"
    if not url.startswith(hub):
        return ""
    return url.removeprefix(hub).removeprefix("datasets/").strip("/")
