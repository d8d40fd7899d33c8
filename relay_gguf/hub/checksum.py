"""Checksums of files: SHA-256, or git's SHA-1 of files that lie in git itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path
from typing import BinaryIO

from relay_gguf.disk import CHUNK
from relay_gguf.errors import ModelError

_SHA256 = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal."""
    return len(text) == 64 and _SHA256.fullmatch(text) is not None


class Checksum:
    """The checksum of a file's bytes as they arrive, compared with the expected one.

    git's SHA-1 is over `blob SIZE`, a null byte and the content (git's hash-object). If no
    checksum is expected, any content fits.
    """

    def __init__(self, expected: str, size: int) -> None:
        """Expect a SHA-256, git's SHA-1 of a file of `size` bytes, or nothing (any other text)."""
        self.expected = expected if is_sha256(expected) or _SHA1.fullmatch(expected) else ""
        if len(self.expected) == 40:
            self._running = sha1(b"blob %d\0" % size, usedforsecurity=False)
        else:
            self._running = sha256()

    def add(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._running.update(data)

    def add_file(self, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        """Add the rest of an open file; `on_bytes` is called with the size of each piece."""
        while data := file.read(CHUNK):
            self.add(data)
            on_bytes(len(data))

    @property
    def found(self) -> str:
        """The checksum of the bytes so far, hexadecimal."""
        return self._running.hexdigest()

    @property
    def fits(self) -> bool:
        """Whether the bytes so far have the expected checksum."""
        return not self.expected or self.found == self.expected


def promised(path: Path) -> str:
    """The SHA-256 that a file's name promises; empty if it promises none.

    The hub's cache and Ollama's store both name a large file by its SHA-256: the cache has links to
    such files, Ollama puts `sha256-` before the name.
    """
    # One link only: the cache may itself link to a folder where files have other names.
    name = path.readlink().name if path.is_symlink() else path.name
    match = _SHA256.fullmatch(name)
    return match[1] if match else ""


def verify(path: Path, on_bytes: Callable[[int], None] = lambda n_bytes: None) -> bool:
    """Read a file and compare it with the checksum in its name; False if there is none.

    Args:
        path: the file.
        on_bytes: called with the size of each piece.

    Raises:
        ModelError: the file is damaged, or cannot be read.
    """
    try:
        expected = promised(path)
        if not expected:
            return False
        checksum = Checksum(expected, path.stat().st_size)
        with path.open("rb") as file:
            checksum.add_file(file, on_bytes)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    if not checksum.fits:
        raise ModelError(
            f"{path} is damaged: its SHA-256 is {checksum.found} and should be {expected}. "
            f"Delete {path.resolve()} and download it again."
        )
    return True
