"""Where files are kept: the platform's folders for settings, data, state and caches."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from platformdirs import PlatformDirs

from .errors import SettingsError


class HasCacheFolder(Protocol):
    """Folders of a user, of which the cache is asked for."""

    @property
    def user_cache_path(self) -> Path:
        """The folder of what can be made again."""


class UserFolders:
    """The folders of this program. A user without a home folder has none, unless XDG names them.

    Each property raises `SettingsError` where there is no such folder: a service may have no HOME,
    and a container may run as a user that nobody has heard of.
    """

    def __init__(self) -> None:
        self._dirs = PlatformDirs("relay-gguf", appauthor=False)

    @property
    def user_config_path(self) -> Path:
        """The folder of settings."""
        return self._folder("config")

    @property
    def user_data_path(self) -> Path:
        """The folder of what the user has made."""
        return self._folder("data")

    @property
    def user_state_path(self) -> Path:
        """The folder of what the program remembers."""
        return self._folder("state")

    @property
    def user_cache_path(self) -> Path:
        """The folder of what can be made again."""
        return self._folder("cache")

    def _folder(self, kind: str) -> Path:
        try:
            path: Path = getattr(self._dirs, f"user_{kind}_path")
        except (OSError, RuntimeError):
            path = Path("~")
        if not path.is_absolute():  # "~" stays where there is no home folder
            raise SettingsError(
                f"This user has no home folder, and so no {kind} folder. Set HOME, or "
                f"XDG_{kind.upper()}_HOME, to a folder."
            )
        return path


DIRS: Final = UserFolders()


def config_path() -> Path:
    """The config file's path, whether the file exists or not.

    Raises:
        SettingsError: this user has no folder for it, as of the functions below.
    """
    return DIRS.user_config_path / "config.toml"


def sessions_folder() -> Path:
    """The folder of saved sessions."""
    return DIRS.user_data_path / "sessions"


def history_path() -> Path:
    """The file of the lines typed in the chat."""
    return DIRS.user_state_path / "history"


def contexts_folder() -> Path | None:
    """The folder of what models have read of sessions; None if this user has no cache folder."""
    return cache_file("contexts")


def cache_file(name: str, folders: HasCacheFolder = DIRS) -> Path | None:
    """The path of a small file that can be made again; None if this user has no cache folder."""
    try:
        path = folders.user_cache_path / name
    except (OSError, RuntimeError, SettingsError):
        return None
    return path if path.is_absolute() else None
