"""Servers that are not workers, or not ours: each is told from the others, and soon."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from complaints import PATIENCE, complaint
from lent import Lent

from relay_gguf.errors import WorkerError
from relay_gguf.llama import rpc
from relay_gguf.workers.address import parse_address, parse_addresses
from relay_gguf.workers.protocol import ask, ask_all


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that treats each connection so."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                talk(client)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def version(major: int, minor: int) -> Callable[[socket.socket], None]:
    """A worker of another release."""

    def talk(client: socket.socket) -> None:
        client.recv(64)
        client.sendall(struct.pack("<QBBBB", 28, major, minor, 9, 0) + bytes(24))
        client.recv(64)

    return talk


def mute(client: socket.socket) -> None:
    """It hangs, or serves another program."""
    while client.recv(64):
        pass
    time.sleep(0.5)


def no_devices(client: socket.socket) -> None:
    client.recv(64)
    client.sendall(struct.pack("<QBBBB", 28, 7, 0, 0, 0) + bytes(24))
    while client.recv(64):
        client.sendall(struct.pack("<QI", 4, 0))


def mail(client: socket.socket) -> None:
    client.recv(64)
    client.sendall(b"220 mail.example ESMTP\r\n")


def half_an_answer(client: socket.socket) -> None:
    client.recv(64)
    client.sendall(struct.pack("<QB", 28, 7))


STRANGERS = [
    (version(6, 1), "speaks version 6.1.9 of llama.cpp's protocol, and this llama.cpp speaks 7.0."),
    (version(8, 0), "speaks version 8.0.9"),
    (version(7, 1), "speaks version 7.1.9"),
    (lambda client: None, "is not a worker, or a worker of another llama.cpp: it hangs up."),
    (mail, "it answers b'220 mail'."),
    (no_devices, "says that it has 0 devices"),
    (half_an_answer, "is not a worker"),
]


@pytest.mark.parametrize(("talk", "why"), STRANGERS)
def test_what_is_no_worker_of_ours(
    talk: Callable[[socket.socket], None], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(talk) as address:
        said = complaint(capsys, "devices", "--worker", address)
    assert address in said
    assert why in said


def test_a_worker_that_dies_while_it_is_asked_is_not_there() -> None:
    """Its port takes a last connection and drops it; a moment later it is closed."""
    server = socket.create_server(("127.0.0.1", 0))

    def die() -> None:
        server.accept()[0].close()
        server.close()

    thread = threading.Thread(target=die)
    thread.start()
    address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(WorkerError, match=f"Worker {address} is not there"):
        ask(parse_address(address))
    thread.join()


def test_a_silent_worker_is_not_waited_for() -> None:
    with serving(mute) as address, pytest.raises(WorkerError) as error:
        ask(parse_address(address), timeout=0.3)
    why = "did not answer within 0.3 seconds. It serves one program at a time"
    assert str(error.value).startswith(f"Worker {address} {why}")


def test_a_web_server_is_not_a_worker() -> None:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(WorkerError) as error:
                ask(parse_address(address), timeout=0.3)
        finally:
            server.shutdown()
    why = "is not a worker: it speaks HTTP. `relay-gguf worker` starts one."
    assert str(error.value) == f"{address} {why}"


def closed_port() -> int:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("command", ["devices", "models", "plan", "chat", "irc"])
def test_nothing_listens_there(
    command: str, pico: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{closed_port()}"
    model = [str(pico)] if command in ("plan", "chat", "irc") else []
    port = ["--port", "0"] if command == "irc" else []
    said = complaint(capsys, command, *model, *port, "--worker", address)
    assert f"Worker {address} is not there: nothing listens on that port. Start it with" in said


def test_several_are_asked_at_once() -> None:
    """Each of two servers says nothing until the other one is asked too."""
    met = threading.Event()
    both = threading.Barrier(2, action=met.set, timeout=PATIENCE)

    def meet(client: socket.socket) -> None:
        client.recv(64)
        if not met.is_set():
            with suppress(threading.BrokenBarrierError):
                both.wait()

    with (
        serving(meet) as first,
        serving(meet) as second,
        pytest.raises(WorkerError, match=f"{first} is not a worker"),
    ):
        ask_all(parse_addresses([first, second]), timeout=2 * PATIENCE)
    assert met.is_set()


@pytest.mark.thorough
def test_one_under_two_names(worker: Lent, capsys: pytest.CaptureFixture[str]) -> None:
    other = worker.address.replace("127.0.0.1", "localhost")
    said = complaint(capsys, "devices", "--worker", worker.address, "--worker", other)
    assert f"Workers {worker.address} and {other} are the same. Name it once." in said


def test_a_build_without_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object) -> None:
        raise AttributeError(name)

    assert rpc.available()
    monkeypatch.setattr(rpc, "_function", missing)
    assert not rpc.available()
    with pytest.raises(
        WorkerError, match=r"has no RPC backend.* --no-cache-dir .*llama-cpp-python"
    ):
        rpc.add_server("127.0.0.1:1")
