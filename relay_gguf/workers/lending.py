"""This machine's devices, lent to others: the process that serves, watched and started again."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from relay_gguf import child
from relay_gguf.errors import WorkerError

from .address import Address
from .protocol import ask
from .tensor_cache import drop_doubtful

NO_PORT: Final = 3
"""Exit code of a server that cannot listen."""
STARTS: Final = 4
"""Times in a minute that a server which died is started again."""
START_SECONDS: Final = 10.0
"""How long a server that has found its devices may take to listen."""
_PATIENCE: Final = 0.5 if sys.platform == "win32" else None  # where Ctrl-C interrupts no wait


@dataclass(frozen=True, slots=True)
class Terms:
    """What is lent, where and how."""

    host: str  # an IPv4 address
    port: int
    devices: Sequence[str] = ()  # none: the GPUs, or the CPU
    memory: int | None = None  # bytes of each; None is all that is free
    threads: int | None = None  # None is one for each physical core
    cache: str = ""  # a folder for tensors; empty keeps none
    debug: bool = False


@dataclass(frozen=True, slots=True)
class LentDevice:
    """A device as clients see it; bytes."""

    name: str
    description: str
    free: int
    total: int


@dataclass
class Lending:
    """A server that runs; `close` ends it."""

    terms: Terms
    devices: tuple[LentDevice, ...] = ()
    _process: subprocess.Popen[bytes] | None = None
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=STARTS))

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            WorkerError: it cannot lend that, or cannot listen there.
        """
        terms = self.terms
        stderr = None if terms.debug else subprocess.DEVNULL
        told = json.dumps(asdict(terms))
        self._process = process = child.start("relay_gguf.llama.rpc_server", told, stderr=stderr)
        line: dict[str, Any] = json.loads((process.stdout and process.stdout.readline()) or "{}")
        if "error" in line:
            raise WorkerError(line["error"])
        if "devices" not in line:
            raise WorkerError(
                f"llama.cpp ended ({child.died_of(process.wait())}) while it looked for devices. "
                "`relay-gguf doctor` says what is wrong with it, or --debug."
            )
        self.devices = tuple(LentDevice(*device) for device in line["devices"])
        self._await(process)

    def watch(self, tell: Callable[[str], None]) -> None:
        """Wait, and start the server again when it dies. Ends by an error only.

        Args:
            tell: is given what the user should know.

        Raises:
            WorkerError: it dies again and again.
        """
        while True:
            code = self._ended()
            self.close()
            now = time.monotonic()
            if len(self._starts) == STARTS and now - self._starts[0] < 60:
                raise WorkerError(
                    f"The server died {STARTS + 1} times within a minute, of "
                    f"{child.died_of(code)} at last. --debug shows what it says."
                )
            self._starts.append(now)
            tell(
                f"The server died ({child.died_of(code)}), perhaps of a client's odd request, or "
                "for lack of memory. It is started again."
            )
            self.start()

    def close(self) -> None:
        """End the server at once."""
        process, self._process = self._process, None
        if process is not None:
            child.kill(process)
            if self.terms.cache:
                drop_doubtful(Path(self.terms.cache))

    def _ended(self) -> int | None:
        """How the server ended, when it has."""
        process = self._process
        while process is not None:
            try:
                return process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                continue
        return None

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server listens; one that is at work at once need not answer us.

        Raises:
            WorkerError: it cannot.
        """
        host = "127.0.0.1" if self.terms.host == "0.0.0.0" else self.terms.host
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if process.poll() == NO_PORT:
                raise WorkerError(
                    f"Cannot listen on {self.terms.host}, port {self.terms.port}: somebody else "
                    "has taken it. --port takes another one."
                )
            if process.poll() is not None:
                return  # as it may at any time: `watch` sees to that
            try:
                ask(Address(host, self.terms.port), timeout=1)
            except WorkerError:
                time.sleep(0.03)
            else:
                return


def listening_place(host: str, port: int) -> tuple[str, int]:
    """A host's IPv4 address, and a port that is free now: `port`, or another one for 0.

    Raises:
        WorkerError: the address is not this machine's, or the port is taken.
    """
    try:
        number = str(socket.getaddrinfo(host, port, socket.AF_INET)[0][4][0])
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            if os.name == "posix":  # as llama.cpp does: a port that was just used is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((number, port))
            return number, int(trial.getsockname()[1])
    except (OSError, UnicodeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        why = os.strerror(code) if code and code > 0 else "no IPv4 address is known for it"
        hint = " --port takes another one." if code == errno.EADDRINUSE else ""
        raise WorkerError(f"Cannot listen on {host}, port {port}: {why}.{hint}") from error
