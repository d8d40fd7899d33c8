"""The format of a file with the KV cache of a conversation, as llama.cpp gives its state.

    magic       20 bytes, the version of the format in it
    identity    32 bytes: model, build and layout, see `ContextFolder`
    n_ids       uint32, little-endian as all numbers
    n_bytes     uint64, of the state
    ids         n_ids times int32, the tokens whose K and V the state holds
    state       n_bytes
    digest      32 bytes, SHA-256 of all of the above

llama.cpp trusts a state that it is given. So nothing of a file reaches it before the digest fits.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, Final

from relay_gguf.disk import CHUNK, PARTIAL

from .snapshots import Snapshot

MAGIC: Final = b"relay-gguf context 1"
HEAD: Final = struct.Struct(f"<{len(MAGIC)}s32sIQ")
DIGEST_BYTES: Final = 32
ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ContextHead:
    """The beginning of a context file: `identity` (32 bytes), the ids, bytes of the state."""

    identity: bytes
    ids: tuple[int, ...]
    n_bytes: int


def write_context(
    path: Path, identity: bytes, snapshot: Snapshot, goes_on: Callable[[int], bool]
) -> bool:
    """Write a snapshot; the file has its name only when it is whole.

    The part is not flushed to the disk at the end: after a power cut the digest does not fit, and
    the text is read again.

    Args:
        path: the file, in a folder that exists; readable for its owner alone.
        identity: 32 bytes.
        snapshot: of one sequence.
        goes_on: asked after each chunk with the bytes written so far; False gives up.

    Returns:
        Whether the file was written.

    Raises:
        OSError: it cannot be written; nothing of it stays.
    """
    head = HEAD.pack(MAGIC, identity, len(snapshot.ids), snapshot.n_bytes)
    state = memoryview(snapshot.state).cast("B")[: snapshot.n_bytes]
    descriptor, name = mkstemp(PARTIAL, path.stem, path.parent)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            running, done = sha256(), 0
            parts: list[bytes | memoryview] = [head, _packed(snapshot.ids), *_chunks(state)]
            for part in parts:
                running.update(part)
                done += _write(file, part)
                if not goes_on(done):
                    return False
            _write(file, running.digest())
        Path(name).replace(path)
        return True
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def read_head(path: Path) -> ContextHead | None:
    """The beginning of a file; None if it is not a context file of the size that it tells.

    Raises:
        OSError: it cannot be read.
    """
    with _opened(path) as file:
        return _head(file)


def read_context(path: Path, identity: bytes) -> Snapshot | None:
    """The snapshot in a file; None if the file is damaged, or of another identity.

    Raises:
        OSError: it cannot be read.
        MemoryError: its state does not fit into memory.
    """
    with _opened(path) as file:
        head = _head(file)
        if head is None or head.identity != identity:
            return None
        running = sha256(HEAD.pack(MAGIC, head.identity, len(head.ids), head.n_bytes))
        running.update(_packed(head.ids))
        state = (ctypes.c_uint8 * head.n_bytes)()
        for chunk in _chunks(memoryview(state).cast("B")):
            if not _read_into(file, chunk):
                return None
            running.update(chunk)
        if file.read(DIGEST_BYTES) != running.digest():
            return None
        return Snapshot(head.ids, state, head.n_bytes)


def _head(file: BinaryIO) -> ContextHead | None:
    found = os.fstat(file.fileno())
    start = file.read(HEAD.size)
    if len(start) < HEAD.size or not stat.S_ISREG(found.st_mode):
        return None
    magic, identity, n_ids, n_bytes = HEAD.unpack(start)
    size = HEAD.size + n_ids * ID_BYTES + n_bytes + DIGEST_BYTES
    if magic != MAGIC or size != found.st_size or not n_ids or not n_bytes:
        return None
    ids = array("i")
    ids.frombytes(file.read(n_ids * ID_BYTES))
    if sys.byteorder == "big":
        ids.byteswap()
    return ContextHead(identity, tuple(ids), n_bytes) if len(ids) == n_ids else None


def _opened(path: Path) -> BinaryIO:
    """Open a file to read; a pipe of this name does not make us wait."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _packed(ids: tuple[int, ...]) -> bytes:
    packed = array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _chunks(data: memoryview) -> list[memoryview]:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def _write(file: BinaryIO, data: bytes | memoryview) -> int:
    """Write all of `data`, which one call need not do; returns its bytes."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    return len(data)


def _read_into(file: BinaryIO, data: memoryview) -> bool:
    """Fill `data`; False if the file ends before."""
    while data:
        count = file.readinto(data)  # type: ignore[attr-defined]
        if not count:
            return False
        data = data[count:]
    return True
