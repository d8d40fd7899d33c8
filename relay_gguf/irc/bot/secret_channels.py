"""The channels that are secret, +s, also while nobody is in them, in a file beside their scenes."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path

from relay_gguf.disk import write_whole
from relay_gguf.irc.network.hooks import SecretNames
from relay_gguf.irc.protocol.names import fold

_log = logging.getLogger(__name__)


class SecretChannels(SecretNames):
    """Names of secret channels, in `irc-channels/secret.json`; None as a folder keeps nothing."""

    def __init__(self, scenes: Path | None) -> None:
        """Read the names beside a folder of `scenes`; a file that cannot be read has none."""
        self._path = None
        self._names: set[str] = set()
        if scenes is not None:
            self._path = scenes.with_name(f"{scenes.name}-channels") / "secret.json"
            with suppress(OSError, ValueError):
                self._names = {fold(str(name)) for name in json.loads(self._path.read_bytes())}

    def __contains__(self, channel: str) -> bool:
        return fold(channel) in self._names

    def change(self, channel: str, *, secret: bool) -> None:
        if (channel in self) == secret or self._path is None:
            return
        (self._names.add if secret else self._names.discard)(fold(channel))
        data = json.dumps(sorted(self._names), ensure_ascii=False)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, data.encode("utf-8", "replace"))
            self._path.chmod(0o600)
        except OSError as error:
            _log.warning("cannot keep that %s is secret: %s", channel, error.strerror)
