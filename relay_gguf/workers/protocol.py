"""Asks a worker for its version, devices and memory, in llama.cpp's RPC protocol on plain sockets.

llama.cpp's own client ends the process if a worker does not answer as it should. So each worker is
asked here first, and whatever is wrong becomes a `WorkerError`.

A request is a byte for the command, its size as 8 bytes and its data; a reply is its size and its
data; all numbers are little-endian (ggml/src/ggml-rpc/ggml-rpc.cpp).
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay_gguf.errors import WorkerError

from .address import Address

VERSION: Final = (7, 0)
"""(major, minor) of the protocol of our llama.cpp: a worker must have the same major number, and a
minor number that is not higher."""
TIMEOUT: Final = 3.0
"""Seconds for all questions to a worker together."""
HELLO, DEVICE_COUNT, GET_DEVICE_MEMORY = 14, 15, 11
CAPS: Final = bytes(24)
"""Our transports beside TCP: none, so all bytes are 0."""
MOST_DEVICES: Final = 64
"""The number of devices of a worker at most; whoever reports more is not a worker."""
N_PINGS: Final = 5
MOMENT: Final = 0.2
"""Seconds until a killed process is gone. The system closes its connections one by one, so its port
may still accept a new connection, and drop it."""


class HungUpError(WorkerError):
    """The other end closed the connection before a whole answer."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a device, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker's answers; `latency` is the time of a question and its answer, in seconds."""

    address: Address
    number: str  # the IPv4 address of its name
    version: tuple[int, int, int]
    devices: tuple[Memory, ...]
    latency: float


def ask(address: Address, timeout: float = TIMEOUT) -> WorkerInfo:
    """Ask a worker for its protocol, its devices and their memory.

    Args:
        address: the worker's.
        timeout: seconds for all questions together.

    Raises:
        WorkerError: it cannot be reached, does not answer, or is not a worker that we can use.
    """
    end = time.monotonic() + timeout
    try:
        return _asked(address, end, timeout)
    except HungUpError:
        time.sleep(MOMENT)
        return _asked(address, end, timeout)


def _asked(address: Address, end: float, timeout: float) -> WorkerInfo:
    with contextlib.closing(_connected(address, end, timeout)) as sock:
        connection = _Connection(address, sock, end, timeout)
        number, version = str(sock.getpeername()[0]), connection.hello()
        count, latency = 0, float("inf")
        for _ in range(N_PINGS):
            began = time.perf_counter()
            (count,) = struct.unpack("<I", connection.asked(DEVICE_COUNT, b"", 4))
            latency = min(latency, time.perf_counter() - began)
        if not 0 < count <= MOST_DEVICES:
            raise WorkerError(f"Worker {address} says that it has {count} devices. Restart it.")
        memory = [
            Memory(
                *struct.unpack("<QQ", connection.asked(GET_DEVICE_MEMORY, struct.pack("<I", n), 16))
            )
            for n in range(count)
        ]
    return WorkerInfo(
        address=address, number=number, version=version, devices=tuple(memory), latency=latency
    )


def ask_all(addresses: Sequence[Address], timeout: float = TIMEOUT) -> tuple[WorkerInfo, ...]:
    """Ask several workers at once.

    Raises:
        WorkerError: the error of the first worker that fails; or a worker was named twice: it
            serves one connection at a time, and the second would wait for the first for ever.
    """
    found: dict[tuple[str, int], WorkerInfo] = {}
    for answer in _asked_at_once(addresses, timeout):
        if isinstance(answer, WorkerError):
            raise answer
        place = (answer.number, answer.address.port)
        if place in found:
            raise WorkerError(
                f"Workers {found[place].address} and {answer.address} are the same. Name it once."
            )
        found[place] = answer
    return tuple(found.values())


def silent(addresses: Sequence[Address], timeout: float = TIMEOUT) -> dict[Address, WorkerError]:
    """The workers that do not answer, each with its error."""
    found = zip(addresses, _asked_at_once(addresses, timeout), strict=True)
    return {address: answer for address, answer in found if isinstance(answer, WorkerError)}


def _asked_at_once(addresses: Sequence[Address], timeout: float) -> list[WorkerInfo | WorkerError]:
    answers: list[WorkerInfo | WorkerError] = [WorkerError("was not asked")] * len(addresses)

    def one(index: int) -> None:
        try:
            answers[index] = ask(addresses[index], timeout)
        except WorkerError as error:
            answers[index] = error

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(len(addresses))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class _Connection:
    """A connection to a worker that must be over at `end` of the monotonic clock."""

    def __init__(self, address: Address, sock: socket.socket, end: float, timeout: float) -> None:
        self._address, self._socket, self._end, self._timeout = address, sock, end, timeout

    def hello(self) -> tuple[int, int, int]:
        """Say hello; returns the worker's version (major, minor, patch).

        Raises:
            WorkerError: as `ask`.
        """
        self._send(struct.pack("<BQ", HELLO, len(CAPS)) + CAPS)
        head = self._received(8)
        (n_bytes,) = struct.unpack("<Q", head)
        if not 3 <= n_bytes <= 256:
            raise self._stranger(head)
        major, minor, patch = self._received(n_bytes)[:3]
        if major != VERSION[0] or minor > VERSION[1]:
            raise WorkerError(
                f"Worker {self._address} speaks version {major}.{minor}.{patch} of llama.cpp's "
                f"protocol, and this llama.cpp speaks {VERSION[0]}.{VERSION[1]}. Install the same "
                "relay-gguf on both machines."
            )
        return major, minor, patch

    def asked(self, command: int, data: bytes, n_bytes: int) -> bytes:
        """The answer to a question, which must have `n_bytes` bytes.

        Raises:
            WorkerError: as `ask`.
        """
        self._send(struct.pack("<BQ", command, len(data)) + data)
        head = self._received(8)
        if struct.unpack("<Q", head) != (n_bytes,):
            raise self._stranger(head)
        return self._received(n_bytes)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(_left(self._end))
            self._socket.sendall(data)
        except OSError:
            raise self._stranger() from None

    def _received(self, n_bytes: int) -> bytes:
        got = b""
        while len(got) < n_bytes:
            try:
                self._socket.settimeout(_left(self._end))
                part = self._socket.recv(n_bytes - len(got))
            except TimeoutError:
                raise self._mute() from None
            except OSError:
                part = b""
            if not part:
                raise self._stranger(got)
            got += part
        return got

    def _mute(self) -> WorkerError:
        """The error of a peer that is silent.

        A web server waits for the end of a line, and complains when it learns that no more will
        come; a busy worker says nothing.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(0.3)
            return self._stranger(self._socket.recv(64))
        return WorkerError(
            f"Worker {self._address} did not answer within {self._timeout:g} seconds. It serves "
            "one program at a time: end the one that uses it now, or start the worker again."
        )

    def _stranger(self, said: bytes = b"") -> WorkerError:
        if said.startswith((b"HTTP/", b"<!DOCTYPE", b"<html")):
            return WorkerError(
                f"{self._address} is not a worker: it speaks HTTP. `relay-gguf worker` starts one."
            )
        heard = f"it answers {said[:16]!r}" if said else "it hangs up"
        return (WorkerError if said else HungUpError)(
            f"{self._address} is not a worker, or a worker of another llama.cpp: {heard}. "
            "`relay-gguf worker` starts one; install the same relay-gguf on both machines."
        )


def _connected(address: Address, end: float, timeout: float) -> socket.socket:
    try:
        number = _number(address, end)
        found = socket.create_connection((number, address.port), _left(end))
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError:
        raise WorkerError(
            f"Worker {address} cannot be reached within {timeout:g} seconds. Is that machine on, "
            "and does its firewall let the port through?"
        ) from None
    except ConnectionRefusedError:
        raise WorkerError(
            f"Worker {address} is not there: nothing listens on that port. Start it with "
            f"`relay-gguf worker --port {address.port}`, or the SSH tunnel to it."
        ) from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise WorkerError(f"Worker {address} cannot be reached: {why}.") from None
    return found


def _number(address: Address, end: float) -> str:
    """The IPv4 address of a host's name, looked up in a thread: resolvers know no timeout.

    Raises:
        WorkerError: there is no such host.
        TimeoutError: the resolver does not answer in time.
    """
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(address.host, address.port, socket.AF_INET)
            answers.put(str(found[0][4][0]))
        except (OSError, UnicodeError):
            answers.put("")

    threading.Thread(target=look_up, daemon=True).start()
    try:
        number = answers.get(timeout=_left(end))
    except queue.Empty:
        raise TimeoutError from None
    if not number:
        raise WorkerError(
            f"Worker {address}: no machine with an IPv4 address is called {address.host!r}."
        )
    return number


def _left(end: float) -> float:
    """Seconds until `end`, at least 1 ms: a timeout of 0 would make the socket non-blocking."""
    return max(1e-3, end - time.monotonic())
