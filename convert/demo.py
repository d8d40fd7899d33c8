"""The demo model, made on first use, as `relay-gguf convert` would make it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from relay_gguf.disk import lock
from relay_gguf.errors import ConversionError
from relay_gguf.models.demo import FTYPE, Demo

from .job import Request, prepare
from .run import Event, Progress, run

LOCK: Final = "lock"
OURS: Final = re.compile(r"[0-9a-f]{16}")
"""Names of the folders of demo models: nothing else is removed."""
PAUSE: Final = 0.1
"""Seconds between two looks at what another process is doing."""


def make(demo: Demo) -> Iterator[Event]:
    """Make it, unless another process does so meanwhile; then remove those of other versions.

    What was interrupted is begun anew. Closing the generator stops.

    Raises:
        ConversionError: the cache cannot be written, or has no room.
    """
    with _opened(demo.folder.parent) as file:
        while not lock(file):
            yield Progress("wait", 0, 1)
            time.sleep(PAUSE)
        if demo.report is None:
            yield Progress("open", 0, 1)
            job = prepare(_request(demo))
            yield from run(job, demo.folder, force=True, restart=True)
        for folder in demo.folder.parent.iterdir():
            if folder != demo.folder and OURS.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def command(demo: Demo, out: str) -> str:
    """The command that makes the same file, for this system's shell."""
    words = ["relay-gguf", "convert", str(demo.base), "--adapter", str(demo.adapter)]
    words += ["--allow-requantize", "--quant", FTYPE, "--out", out]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _request(demo: Demo) -> Request:
    return Request(str(demo.base), (FTYPE,), str(demo.adapter), allow_requantize=True)


@contextmanager
def _opened(folder: Path) -> Iterator[BinaryIO]:
    """The file by whose lock processes wait for one another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
    with file:
        yield file
