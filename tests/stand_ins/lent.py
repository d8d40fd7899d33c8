"""Real workers on loopback, and wires to them that count bytes, take their time or break."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

FIRST_WORDS = re.compile(r"Listening on ([\d.]+), port (\d+)\.")
ALLOCATED = re.compile(r"\[alloc_buffer\] device: (\d+), size: \d+ -> .*remote_size: (\d+)")


@dataclass
class Lent:
    """A `relay-gguf worker` that runs; leaving the `with` block ends it."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Lent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal, and wait until it is gone; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def kill(self) -> None:
        """End it as a power cut would: with the server, which would end by itself."""
        server = self.server
        self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(psutil.NoSuchProcess):
            server.kill()

    @property
    def server(self) -> psutil.Process:
        """The child that serves."""
        (found,) = psutil.Process(self.process.pid).children()
        return found

    @property
    def allocated(self) -> list[int]:
        """Bytes of each buffer that it made for clients; of one that was started with a log."""
        return [int(m[2]) for line in self.log if (m := ALLOCATED.search(line))]


def lend(*options: str, log: bool = False, address_space: int | None = None) -> Lent:
    """Start a worker on a free port of loopback, and wait for its first words.

    Args:
        options: of `relay-gguf worker`.
        log: whether it logs each request.
        address_space: bytes that its processes may map at most (Linux).
    """
    limit: Callable[[], None] | None = None
    if address_space is not None:
        import resource

        size = address_space

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

    process = subprocess.Popen(
        [sys.executable, "-m", "relay_gguf", "worker", "--port", "0", *options] + ["--debug"] * log,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **({"GGML_RPC_DEBUG": "1"} if log else {})},
        preexec_fn=limit,
    )
    found = Lent(process)
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=_collect, args=(process.stderr, found.log), daemon=True).start()
    for line in process.stdout:
        found.lines.append(line.rstrip("\n"))
        if match := FIRST_WORDS.match(line):
            found.address = f"{match[1]}:{match[2]}"
        if "--worker" in line:
            return found
    code = process.wait(10)
    raise AssertionError(f"the worker ended with {code}: {found.log}")


def _collect(lines: Iterator[str], into: list[str]) -> None:
    with contextlib.suppress(ValueError):  # closed meanwhile
        into.extend(line.rstrip("\n") for line in lines)


class Wire:
    """A TCP relay to an address: counts what goes there and back, late if it must."""

    def __init__(self, to: str, seconds: float = 0.0) -> None:
        """Listen on a free port.

        Args:
            to: HOST:PORT.
            seconds: that each byte takes, in each direction.
        """
        host, _, port = to.partition(":")
        self._to = (host, int(port))
        self.seconds = seconds  # if not 0, it may be changed at any time
        self.there = self.back = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Break all connections, and take no more."""
        for sock in (self._server, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._to)
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [near, far]
                threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, there: bool) -> None:
        late: list[tuple[float, bytes]] = []
        ready = threading.Condition()

        def deliver() -> None:
            while True:
                with ready:
                    ready.wait_for(lambda: late)
                    at, data = late.pop(0)
                time.sleep(max(0.0, at - time.monotonic()))
                with contextlib.suppress(OSError):
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(data)

        if self.seconds:
            threading.Thread(target=deliver, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if there:
                    self.there += len(data)
                else:
                    self.back += len(data)
                if self.seconds:
                    with ready:
                        late.append((time.monotonic() + self.seconds, data))
                        ready.notify()
                else:
                    target.sendall(data)
        if self.seconds:
            with ready:
                late.append((time.monotonic() + self.seconds, b""))
                ready.notify()
            return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def kept(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())
