"""A file being written: under another name until it is whole, and resumable before.

No app indexes `.partial` files. A running SHA-256 stands at each tensor's end for all bytes up to
there, so that what a killed run left can be checked with one read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from relay_gguf.convert.read.checkpoint import Bytes
from relay_gguf.disk import digest, sync_folder
from relay_gguf.errors import ConversionError

from .header import padded
from .plan import File

PARTIAL: Final = ".partial"
CHUNK: Final = 1 << 22
"""Bytes that are read at once."""


class Output:
    """One file of a conversion."""

    def __init__(self, folder: Path, file: File) -> None:
        """Nothing is written yet."""
        self.file = file
        self.final = folder / file.name
        self.partial = folder / (file.name + PARTIAL)
        self._hash = sha256()
        self._open: BinaryIO | None = None
        self.position = 0
        self._states: list[Any] = []  # hashes up to the head's and each intact tensor's end
        slots = file.layout.slots
        self._ends = [padded(slot.offset + slot.n_bytes) for slot in slots]

    def begin(self) -> None:
        """Write the head."""
        self._hash, self.position = sha256(), 0
        self._open = self.partial.open("wb")
        self.write(self.file.layout.head)

    def intact(self, digests: Sequence[str]) -> int:
        """How many tensors of a partial file are as their digests say, from the first on."""
        running = sha256()
        self._states = []
        head = self.file.layout.head
        position = len(head)
        try:
            if b"".join(_chunks(self.partial, position)) != head:
                return 0
            running.update(head)
            self._states.append(running.copy())
            for end, digest in zip(self._ends, digests, strict=False):
                for chunk in _chunks(self.partial, end, position):
                    running.update(chunk)
                position = end
                if running.hexdigest() != digest:
                    break
                self._states.append(running.copy())
        except (OSError, EOFError):
            pass
        return max(0, len(self._states) - 1)

    def is_there(self) -> bool:
        """Whether a file of the right size has the name."""
        return self.final.exists() and self.final.stat().st_size == self.file.layout.size

    def is_published(self, expected: str) -> bool:
        """Whether the whole file has its name already, told by its bytes."""
        if self.partial.exists() or not self.is_there():
            return False
        return digest(self.final) == expected

    def resume(self, count: int) -> None:
        """Go on behind the first `count` tensors, which `intact` has found; the rest is cut off."""
        if count >= len(self._states):
            self.begin()
            return
        self._hash = self._states[count]
        self.position = self._ends[count - 1] if count else len(self.file.layout.head)
        self._open = self.partial.open("r+b")
        self._open.truncate(self.position)
        self._open.seek(self.position)

    def write(self, data: Bytes | bytes) -> None:
        """Append bytes."""
        if self._open is None:
            raise RuntimeError(f"{self.partial} is not open.")
        buffer = data if isinstance(data, bytes) else data.data
        self._open.write(buffer)
        self._hash.update(buffer)
        self.position += len(data)

    def end_tensor(self) -> str:
        """Pad to the next tensor; the digest of the file so far, which the system now has."""
        if pad := padded(self.position) - self.position:
            self.write(bytes(pad))
        if self._open is not None:
            self._open.flush()
        return self._hash.hexdigest()

    def finish(self) -> str:
        """Bring all of it to the disk; the digest of the file.

        Raises:
            ConversionError: it is not as long as was planned.
        """
        if self._open is not None:
            self._open.flush()
            os.fsync(self._open.fileno())
            self._open.close()
            self._open = None
        if self.position != self.file.layout.size:
            raise ConversionError(
                f"{self.partial} has {self.position} bytes, {self.file.layout.size} were planned. "
                "This is a bug."
            )
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go of the file, as it is."""
        if self._open is not None:
            file, self._open = self._open, None
            file.close()

    def publish(self) -> None:
        """Give the file its name."""
        self.partial.replace(self.final)
        sync_folder(self.final.parent)

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # on a full disk the last bytes cannot be flushed
            self.close()
        self.partial.unlink(missing_ok=True)


def _chunks(path: Path, stop: int, start: int = 0) -> Iterator[bytes]:
    """Bytes [start, stop) of a file.

    Raises:
        EOFError: it ends before.
    """
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise EOFError(path)
            left -= len(chunk)
            yield chunk
