"""Where files are kept: the platform's folders for settings, data, state and caches."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from platformdirs import PlatformDirs

DIRS: Final = PlatformDirs("relay-gguf", appauthor=False)


def config_path() -> Path:
    """The config file's path, whether the file exists or not."""
    return DIRS.user_config_path / "config.toml"


def sessions_folder() -> Path:
    """The folder of saved sessions."""
    return DIRS.user_data_path / "sessions"


def history_path() -> Path:
    """The file of the lines typed in the chat."""
    return DIRS.user_state_path / "history"


def cache_file(name: str) -> Path | None:
    """The path of a small file that can be made again; None if this user has no cache folder."""
    try:
        path = DIRS.user_cache_path / name
    except (OSError, RuntimeError):
        return None
    return path if path.is_absolute() else None  # "~" stays where there is no home folder
