"""Child processes in Python: for code that may end its process, and must end with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

EXIT_SECONDS = 5.0
"""Seconds that a killed child may take to be gone."""
WINDOWS = {0xC0000005: "an access violation", 0xC000001D: "an illegal instruction"}
"""What Windows has in place of signals: NTSTATUS codes of ntstatus.h."""


# `-m` looks into the current folder first, which Python 3.10 cannot be told to leave out.
_RUN = (
    ("-m",)
    if sys.version_info >= (3, 11)
    else (
        "-c",
        "import runpy, sys; sys.path[:] = filter(None, sys.path); del sys.argv[0]; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
    )
)


def start(
    module: str,
    *arguments: str,
    stderr: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Run a module of this package with pipes as stdin and stdout; it must end when its stdin ends.

    Ctrl-C in the terminal reaches the parent alone.

    Args:
        module: the name of a module that `python -m` can run.
        arguments: of its command line.
        stderr: where its stderr goes, as for `subprocess`; None for our own stderr.
        variables: environment variables, over our own.
    """
    environment = {**os.environ, **(variables or {})}
    # The child imports from where this process does, and nothing from its current folder.
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    environment["PYTHONSAFEPATH"] = "1"
    environment["GGML_NO_BACKTRACE"] = (
        "1"  # or llama.cpp would ask a debugger for one, which takes seconds
    )
    return subprocess.Popen(
        [sys.executable, *_RUN, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a child at once, if it still runs, and close its pipes."""
    process.kill()
    process.wait(EXIT_SECONDS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was to be written, is not
                pipe.close()


def died_of(code: int | None) -> str:
    """How a process ended, by its exit code: `SIGABRT`, `an access violation`, `exit code 3`."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return WINDOWS.get((code or 0) & 0xFFFFFFFF, f"exit code {code}")


# From here on: the child's side


def replies() -> IO[bytes]:
    """The pipe to the parent, which was stdout: from now on C libraries print to stderr instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return found


def end_with_parent() -> None:
    """End this process when its stdin ends with the parent, even in the middle of a C call."""

    def wait() -> None:
        while os.read(0, 1 << 12):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
