"""Which model, build and layout a context belongs to: another one's is never used."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from relay_gguf.doctor.fingerprint import fingerprint
from relay_gguf.fit.placement import LoadSettings

EDGE: Final = 1 << 20
"""Bytes that are read of a model's beginning and end: reading all of it takes half a minute."""


def context_identity(path: Path, settings: LoadSettings) -> bytes:
    """A digest, 32 bytes, of the model's file, llama.cpp's build, this machine and the settings.

    Args:
        path: the model's file. Its size and time of change count, its name does not.
        settings: that it was loaded with: what llama.cpp computes, and how it lays it out, depends
            on the type of the cache and on which device has which layer.

    Raises:
        OSError: the file cannot be read.
    """
    found = path.stat()
    parts = (
        fingerprint(),
        f"{found.st_size} {found.st_mtime_ns}",
        f"{settings.kv_type} {settings.n_gpu_layers} {settings.gpu} {settings.tensor_split}",
    )
    running = sha256("\0".join(parts).encode())
    with path.open("rb") as file:
        running.update(file.read(EDGE))
        file.seek(-min(EDGE, found.st_size), os.SEEK_END)
        running.update(file.read(EDGE))
    return running.digest()
