"""TOML files, on every Python that we run on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        SettingsError: the file cannot be read, or is not TOML.
    """
    try:
        return parse_toml(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:  # TOML's own, and UnicodeDecodeError
        raise SettingsError(f"{path} is not a TOML file: {error}.") from error
