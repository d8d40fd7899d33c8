"""Who people are: a TOML file of nicks and bios.

ann = "I'm a sailor from Porto"
"bob[away]" = "carpenter, two cats"
"""

from __future__ import annotations

from pathlib import Path

from relay_gguf.errors import SettingsError
from relay_gguf.toml import read_toml

from .logs.log_line import fold


def read_bios(path: Path) -> dict[str, str]:
    """Folded nick → bio.

    Raises:
        SettingsError: the file cannot be read, or has values that are not texts.
    """
    table = read_toml(path)
    for nick, bio in table.items():
        if not isinstance(bio, str) or not bio.strip():
            raise SettingsError(f"{path}: {nick} = {bio!r} should be a text, the bio of {nick}.")
    return {fold(nick): " ".join(bio.split()) for nick, bio in table.items()}
