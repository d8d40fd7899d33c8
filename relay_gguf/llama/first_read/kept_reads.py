"""Results of first reads, kept until the file or llama.cpp changes; looked up in a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from relay_gguf.disk import keep_value, kept_values
from relay_gguf.doctor.fingerprint import fingerprint
from relay_gguf.folders import cache_file

from .ask_reader import ReadResult

VERSION: Final = 1
"""The version of the child process: after a change each file is read anew."""
N_READS: Final = 200
"""The number of results that are kept."""


def kept_read(paths: Sequence[Path], *, vocab_only: bool) -> ReadResult | None:
    """The result that was kept for a file as it is now; None if there is none."""
    place = _place()
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if place is not None:
            return ReadResult.from_json(kept_values(place)[_key(paths, vocab_only=vocab_only)])
    return None


def keep_read(paths: Sequence[Path], result: ReadResult, *, vocab_only: bool) -> None:
    """Keep a result beside the others; a folder that cannot be written is ignored."""
    place = _place()
    if place is None or not result.lasting:
        return
    with suppress(OSError):
        keep_value(place, _key(paths, vocab_only=vocab_only), result.as_json(), N_READS)


def _place() -> Path | None:
    return cache_file("first-reads.json")


def _key(paths: Sequence[Path], *, vocab_only: bool) -> str:
    """A hash of llama.cpp's libraries, and of each file's place, size and time of change."""
    digest = sha256(f"{VERSION} {vocab_only} {fingerprint()}".encode())
    for path in paths:
        found = path.stat()
        digest.update(f"{path.absolute()}\0{found.st_size} {found.st_mtime_ns}\0".encode())
    return digest.hexdigest()
