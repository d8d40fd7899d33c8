"""A Python process of our own: for what may end a process, or must outlive none."""

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
"""How long a child that was killed may take to be gone."""
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
    """Run a module of ours, with pipes to and from it; it ends when its stdin does.

    Ctrl-C in the terminal reaches the parent alone.

    Args:
        module: which `python -m` runs.
        arguments: for it.
        stderr: where that goes, as `subprocess` has it; None is our own.
        variables: of its environment, over ours.
    """
    environment = {**os.environ, **(variables or {})}
    # What this process imports from, and nothing of the folder that it happens to be in.
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    environment["PYTHONSAFEPATH"] = "1"
    environment["GGML_NO_BACKTRACE"] = "1"  # which llama.cpp asks of a debugger, for seconds
    return subprocess.Popen(
        [sys.executable, *_RUN, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a child at once, if it has not ended, and close its pipes."""
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
    """What was stdout, for the parent alone: what C libraries print goes to stderr from now on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return found


def end_with_parent() -> None:
    """End this process when stdin does, which the parent holds open; it may be deep in C then."""

    def wait() -> None:
        while os.read(0, 1 << 12):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
