"""This machine's devices lent to others: starts the server process, watches and restarts it."""

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

SERVER: Final = "relay_gguf.llama.isolated.rpc_server"
"""The module of the process that serves."""
NO_PORT: Final = 3
"""The exit code of a server that cannot listen on its port."""
STARTS: Final = 4
"""How often a server that died is restarted within a minute."""
START_SECONDS: Final = 10.0
"""Seconds that a server which has found its devices may take to listen."""
_PATIENCE: Final = 0.5 if sys.platform == "win32" else None  # where Ctrl-C interrupts no wait


@dataclass(frozen=True, slots=True)
class Terms:
    """The address, devices and limits of a server."""

    host: str  # an IPv4 address
    port: int
    devices: Sequence[str] = ()  # empty for the GPUs, or the CPU if there are none
    memory: int | None = None  # bytes of each device; None for all that is free
    threads: int | None = None  # None for one thread for each physical core
    cache: str = ""  # a folder for tensors; empty to keep none
    debug: bool = False


@dataclass(frozen=True, slots=True)
class LentDevice:
    """A device as clients see it; sizes in bytes."""

    name: str
    description: str
    free: int
    total: int


@dataclass
class Lending:
    """A server process; `close` ends it."""

    terms: Terms
    devices: tuple[LentDevice, ...] = ()
    _process: subprocess.Popen[bytes] | None = None
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=STARTS))

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            WorkerError: it has no such device, or cannot listen on its port.
        """
        terms = self.terms
        stderr = None if terms.debug else subprocess.DEVNULL
        told = json.dumps(asdict(terms))
        self._process = process = child.start(SERVER, told, stderr=stderr)
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
        """Restart the server whenever it dies; returns only by an error.

        Args:
            tell: called with a line for the user at each restart.

        Raises:
            WorkerError: the server dies again and again.
        """
        while True:
            code = self._ended()
            self.close()
            now = time.monotonic()
            if len(self._starts) == STARTS and now - self._starts[0] < 60:
                raise WorkerError(
                    f"The server died {STARTS + 1} times within a minute, of "
                    f"{child.died_of(code)} at last. --debug shows its log."
                )
            self._starts.append(now)
            tell(
                f"The server died ({child.died_of(code)}), perhaps of a client's malformed "
                "request, or for lack of memory. It is restarted."
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
        """Wait until the server has ended; its exit code."""
        process = self._process
        while process is not None:
            try:
                return process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                continue
        return None

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server listens; a client may already keep it from answering us.

        Raises:
            WorkerError: it cannot listen on its port.
        """
        host = "127.0.0.1" if self.terms.host == "0.0.0.0" else self.terms.host
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if process.poll() == NO_PORT:
                raise WorkerError(
                    f"Cannot listen on {self.terms.host}, port {self.terms.port}: another "
                    "program uses it. --port takes another port."
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
    """A host's IPv4 address, and a port that is free now: `port`, or any if that is 0.

    Raises:
        WorkerError: the address is not this machine's, or another program uses the port.
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
        hint = " --port takes another port." if code == errno.EADDRINUSE else ""
        raise WorkerError(f"Cannot listen on {host}, port {port}: {why}.{hint}") from error
