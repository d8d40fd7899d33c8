"""The JSON files of a model or an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relay_gguf.errors import ConversionError


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConversionError: it cannot be read, is no JSON, or holds something else.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConversionError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ConversionError(f"{path} is no config: it holds no object.")
    return found
