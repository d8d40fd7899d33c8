"""The form of a data set, judged by its first line."""

from __future__ import annotations

import json
from pathlib import Path

from relay_gguf.errors import SettingsError


def is_sharegpt(data: Path) -> bool:
    """Whether a data set has ShareGPT's form, judged by its first line.

    Raises:
        SettingsError: the file cannot be read, or has neither form.
    """
    try:
        with data.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read {data}: {error}.") from error
    keys = first.keys() if isinstance(first, dict) else set()
    if not keys & {"messages", "conversations"}:
        raise SettingsError(f"{data} has neither messages nor conversations in its first line.")
    return "conversations" in keys
