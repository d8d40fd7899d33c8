"""A download as a value, and the protocol of a watcher, which is asked and told about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay_gguf.errors import RelayError


class DeclinedError(RelayError):
    """The user chose no file, or does not want the download."""


@dataclass(frozen=True, slots=True)
class Download:
    """A download: `missing` of `total` bytes are not here yet; `free` bytes are free on disk."""

    repo: str
    files: tuple[str, ...]
    total: int
    missing: int
    free: int
    licence: str = ""
    gated: bool = False


class Watcher(Protocol):
    """Someone who is asked before a download, and told how far it is."""

    def asks(self, download: Download) -> bool:
        """Whether to download, before the first byte."""

    def checking(self, done: int, total: int) -> None:
        """`done` of `total` bytes that were there before have been read again and checked."""

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` bytes are there."""

    def waits(self) -> None:
        """Another process downloads the same file: this one waits."""


class Silent:
    """A watcher that wants every download and shows nothing."""

    def asks(self, download: Download) -> bool:
        """Always."""
        return True

    def checking(self, done: int, total: int) -> None:
        """Do nothing."""

    def progress(self, done: int, total: int) -> None:
        """Do nothing."""

    def waits(self) -> None:
        """Do nothing."""
