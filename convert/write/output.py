"""A file being written, under a temporary name until it is whole; a killed run can be resumed.

At the end of each tensor the running SHA-256 of all bytes before it is known, so that one read
checks the file that a killed run left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from relay_gguf.convert.read.arrays import Bytes
from relay_gguf.disk import CHUNK, digest, partial, sync_folder
from relay_gguf.errors import ConversionError

from .layout import padded
from .targets import PlannedFile


class Output:
    """A file of a conversion: `partial` while it is written, `final` when it is whole.

    `position` counts the bytes that are written.
    """

    def __init__(self, folder: Path, file: PlannedFile) -> None:
        """Plan to write a file into a folder; nothing is written yet."""
        self.file = file
        self.final = folder / file.name
        self.partial = partial(self.final)
        self._hash = sha256()
        self._open: BinaryIO | None = None
        self.position = 0
        self._states: list[Any] = []  # hashes up to the end of the header and of each intact tensor
        slots = file.layout.slots
        self._ends = [padded(slot.offset + slot.n_bytes) for slot in slots]

    def begin(self) -> None:
        """Begin the file, with its header."""
        self._hash, self.position = sha256(), 0
        self._open = self.partial.open("wb")
        self.write(self.file.layout.header)

    def intact(self, digests: Sequence[str]) -> int:
        """How many tensors of the partial file, from the first on, have these digests."""
        running = sha256()
        self._states = []
        header = self.file.layout.header
        position = len(header)
        try:
            if b"".join(_chunks(self.partial, position)) != header:
                return 0
            running.update(header)
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
        """Whether the final name has a file of the planned size."""
        return self.final.exists() and self.final.stat().st_size == self.file.layout.size

    def is_published(self, expected: str) -> bool:
        """Whether the final name has the file with this SHA-256, and no partial file is left."""
        if self.partial.exists() or not self.is_there():
            return False
        return digest(self.final) == expected

    def resume(self, count: int) -> None:
        """Go on after the first `count` tensors, which `intact` has found; the rest is cut off."""
        if count >= len(self._states):
            self.begin()
            return
        self._hash = self._states[count]
        self.position = self._ends[count - 1] if count else len(self.file.layout.header)
        self._open = self.partial.open("r+b")
        self._open.truncate(self.position)
        self._open.seek(self.position)

    def write(self, data: Bytes | bytes) -> None:
        """Append bytes to the open file."""
        if self._open is None:
            raise RuntimeError(f"{self.partial} is not open.")
        buffer = data if isinstance(data, bytes) else data.data
        self._open.write(buffer)
        self._hash.update(buffer)
        self.position += len(data)

    def end_tensor(self) -> str:
        """Pad to the next tensor; the SHA-256 of the file so far, which the system has now."""
        if pad := padded(self.position) - self.position:
            self.write(bytes(pad))
        if self._open is not None:
            self._open.flush()
        return self._hash.hexdigest()

    def finish(self) -> str:
        """Flush the file to the disk and close it; its SHA-256.

        Raises:
            ConversionError: it is not as long as planned.
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
        """Close the file as it is: on a full disk its last bytes, not done yet, are lost."""
        if self._open is not None:
            file, self._open = self._open, None
            with suppress(OSError):
                file.close()

    def publish(self) -> None:
        """Give the file its final name."""
        self.partial.replace(self.final)
        sync_folder(self.final.parent)

    def discard(self) -> None:
        """Remove the partial file."""
        self.close()
        self.partial.unlink(missing_ok=True)


def _chunks(path: Path, stop: int, start: int = 0) -> Iterator[bytes]:
    """Bytes [start, stop) of a file, in chunks.

    Raises:
        EOFError: the file ends before `stop`.
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
