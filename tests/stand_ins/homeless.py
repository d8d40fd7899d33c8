"""Users without a cache folder, in place of `relay_gguf.folders.UserFolders`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CacheFolder:
    """The user's cache folder, or the error that looking it up ends with."""

    found: Path | Exception

    @property
    def user_cache_path(self) -> Path:
        """As `PlatformDirs` has it."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found
