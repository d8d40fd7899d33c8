"""A download as a value, and who is asked and told about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay_gguf.errors import RelayError


class DeclinedError(RelayError):
    """The user does not want the download."""


@dataclass(frozen=True, slots=True)
class Download:
    """What a download would take, in bytes; `missing` of `total` are not here yet."""

    repo: str
    files: tuple[str, ...]
    total: int
    missing: int
    free: int
    licence: str = ""
    gated: bool = False


class Watcher(Protocol):
    """Is asked before a download, and told how far it is."""

    def asks(self, download: Download) -> bool:
        """Whether to download, before the first byte."""

    def checking(self, done: int, total: int) -> None:
        """How much of what was there before has been read again, in bytes."""

    def progress(self, done: int, total: int) -> None:
        """How much is there, in bytes."""

    def waits(self) -> None:
        """Another process is downloading the same file."""


class Silent:
    """Wants everything, shows nothing."""

    def asks(self, download: Download) -> bool:
        """Yes."""
        return True

    def checking(self, done: int, total: int) -> None:
        """Nothing."""

    def progress(self, done: int, total: int) -> None:
        """Nothing."""

    def waits(self) -> None:
        """Nothing."""
