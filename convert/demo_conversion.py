"""Makes the demo model on first use, as `relay-gguf convert` would make it."""

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

from .job import prepare
from .request import Request
from .run import ConversionEvent, Progress, run

LOCK: Final = "lock"
DEMO_FOLDER: Final = re.compile(r"[0-9a-f]{16}")
"""Names of the folders of demo models: nothing else is removed."""
PAUSE: Final = 0.1
"""Seconds between two tries to get the lock."""


def make(demo: Demo) -> Iterator[ConversionEvent]:
    """Make the demo model, unless another process does meanwhile; remove those of old versions.

    An interrupted conversion is begun anew. Closing the generator stops it.

    Raises:
        ConversionError: the cache cannot be written, or its disk has not enough room.
    """
    with _opened(demo.folder.parent) as file:
        while not lock(file):
            yield Progress("wait", 0, 1)
            time.sleep(PAUSE)
        if demo.report is None:
            yield Progress("open", 0, 1)
            job = prepare(demo_request(demo))
            yield from run(job, demo.folder, force=True, restart=True)
        for folder in demo.folder.parent.iterdir():
            if folder != demo.folder and DEMO_FOLDER.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def command(demo: Demo, out: str) -> str:
    """The command that makes the same file, for this system's shell."""
    words = ["relay-gguf", "convert", str(demo.base), "--adapter", str(demo.adapter)]
    words += ["--allow-requantize", "--quant", FTYPE, "--out", out]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def demo_request(demo: Demo) -> Request:
    """The request for the demo model's file."""
    return Request(
        base=str(demo.base),
        ftypes=(FTYPE,),
        adapter=str(demo.adapter),
        allow_requantize=True,
    )


@contextmanager
def _opened(folder: Path) -> Iterator[BinaryIO]:
    """The lock file by which processes wait for one another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise ConversionError(f"Cannot write into {folder}: {error.strerror}.") from error
    with file:
        yield file
