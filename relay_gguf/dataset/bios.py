"""Who people are: a TOML file of nicks and bios.

ann = "I'm a sailor from Porto"
"bob[away]" = "carpenter, two cats"
"""

from __future__ import annotations

import sys
from pathlib import Path

from relay_gguf.errors import SettingsError

from .line import fold

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_bios(path: Path) -> dict[str, str]:
    """Folded nicks and their bios.

    Raises:
        SettingsError: the file cannot be read, or has something else than texts.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.") from error
    for nick, bio in table.items():
        if not isinstance(bio, str) or not bio.strip():
            raise SettingsError(f"{path}: {nick} = {bio!r} should be a text, the bio of {nick}.")
    return {fold(nick): " ".join(bio.split()) for nick, bio in table.items()}
