"""The JSON files of a model or an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relay_gguf.errors import ConversionError


def read_config(folder: Path) -> dict[str, Any]:
    """The object in the config.json of a model's folder.

    Raises:
        ConversionError: the file is missing or cannot be read, or is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        hint = ""
        if (folder / "adapter_config.json").exists():
            hint = " It is an adapter: give it as --adapter, behind the base that it belongs to."
        raise ConversionError(f"{folder} has no config.json.{hint}")
    return read_object(path)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConversionError: the file cannot be read, or is not a JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConversionError(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ConversionError(f"{path} is not a config: it holds no JSON object.")
    return found
