"""Lending: what a worker says, what it offers, how it ends, and what is not lent."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from complaints import complaint
from lent import Lent, lend

from relay_gguf.errors import WorkerError
from relay_gguf.fit.memory import GIB, MIB, n_bytes
from relay_gguf.workers import lending
from relay_gguf.workers.address import Address, parse_address
from relay_gguf.workers.gpus import worker_gpus
from relay_gguf.workers.lending import Lending, Terms
from relay_gguf.workers.protocol import ask
from relay_gguf.workers.tensor_cache import DOUBTFUL, drop_doubtful

BUSY = 60.0
"""Seconds that a busy machine may take for what is over in one, such as to fill 300 MiB."""


def test_a_worker_says_what_it_lends_and_how_to_use_it(worker: Lent) -> None:
    host, _, port = worker.address.partition(":")
    listening, lent, warning, tunnel, use = worker.lines
    assert listening == f"Listening on {host}, port {port}. Ctrl-C ends the worker."
    assert lent.startswith("Lent: CPU (")
    assert lent.endswith("3.0 GiB of 3.0 GiB free")
    assert "has no password" in warning
    assert "trusted network or in an SSH tunnel" in warning
    assert f"ssh -N -L {port}:127.0.0.1:{port} " in tunnel
    assert use == f"On the other machine: relay-gguf chat --worker {worker.address}"


def test_what_it_says_of_itself(worker: Lent) -> None:
    found = ask(parse_address(worker.address))
    (memory,) = found.devices
    assert found.version[:2] == (7, 0)
    assert memory.total == 3 * GIB
    assert 2.9 * GIB < memory.free <= 3 * GIB
    assert 0 < found.latency < 1
    (gpu,) = worker_gpus([worker.address])
    assert (gpu.name, gpu.backend, gpu.description) == ("RPC0", "RPC", worker.address)
    assert gpu.latency > 0


def test_what_is_taken_is_no_longer_offered(worker: Lent) -> None:
    """ggml says that a CPU's memory is all free, always."""
    host, _, port = worker.address.partition(":")
    with (
        closing(socket.create_connection((host, int(port)), BUSY)) as sock,
        sock.makefile("rb") as replies,
    ):

        def asked(command: int, data: bytes, n: int) -> bytes:
            sock.sendall(struct.pack("<BQ", command, len(data)) + data)
            return replies.read(8 + n)[8:] if n else b""

        asked(14, bytes(24), 28)
        (buffer, _) = struct.unpack("<QQ", asked(0, struct.pack("<IQ", 0, 300 * MIB), 16))
        asked(5, struct.pack("<QB", buffer, 1), 0)  # filled
        free, total = struct.unpack("<QQ", asked(11, struct.pack("<I", 0), 16))
    assert total == 3 * GIB
    assert 2.6 * GIB < free < 2.75 * GIB


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGTERM, 0, marks=pytest.mark.thorough), (signal.SIGINT, 130)],
)
def test_a_signal_ends_both_processes_at_once(number: int, code: int) -> None:
    with lend() as found:
        server = found.server
        began = time.monotonic()
        assert found.end(number) == code
        server.wait(5)
        assert time.monotonic() - began < 8, "on a busy machine"


@pytest.mark.thorough
def test_the_server_ends_with_the_worker() -> None:
    with lend() as found:
        server = found.server
        found.process.kill()
        server.wait(BUSY)


@pytest.mark.thorough
def test_a_server_that_dies_is_started_again() -> None:
    told: list[str] = []
    server = Lending(Terms(*lending.listening_place("127.0.0.1", 0)))
    try:
        server.start()
        first = server._process
        assert first is not None
        first.kill()
        watching = threading.Thread(target=_watch, args=(server, told), daemon=True)
        watching.start()
        end = time.monotonic() + 20
        while not told and time.monotonic() < end:
            time.sleep(0.05)
        assert told[0].startswith("The server died (SIGKILL)")
        while server._process is first or not _answers(server.terms):
            assert time.monotonic() < end
            time.sleep(0.05)
        server._starts.extend([time.monotonic()] * lending.STARTS)
        assert server._process is not None
        server._process.kill()
        watching.join(BUSY)
        assert told[-1] == (
            f"The server died {lending.STARTS + 1} times within a minute, of SIGKILL at last. "
            "--debug shows its log."
        )
    finally:
        server.close()


def _watch(server: Lending, told: list[str]) -> None:
    try:
        server.watch(told.append)
    except WorkerError as error:
        told.append(str(error))


def _answers(terms: Terms) -> bool:
    try:
        ask(Address(terms.host, terms.port), 1)
    except WorkerError:
        return False
    return True


REFUSED = [
    (["--device", "CUDA7"], "There is no device 'CUDA7' here. There are: CPU"),
    (["--host", "0.0.0.0"], "Anybody may reach 0.0.0.0, and the protocol has no password"),
    (["--host", "203.0.113.1"], "Cannot listen on 203.0.113.1, port "),
    (["--host", "attic.invalid"], "no IPv4 address is known for it."),
    (["--memory", "lots"], "'lots' is not a size of memory: write 4G or 512M."),
    (["--memory", "0"], "'0' is not a size"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED)
def test_what_cannot_be_lent_is_refused(
    options: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why in complaint(capsys, "worker", "--port", "0", *options)


def test_a_port_that_is_taken(worker: Lent, capsys: pytest.CaptureFixture[str]) -> None:
    port = worker.address.rpartition(":")[2]
    said = complaint(capsys, "worker", "--port", port)
    assert said == (
        f"relay-gguf: Cannot listen on 127.0.0.1, port {port}: Address already in use. "
        "--port takes another port.\n"
    )


@pytest.mark.thorough
def test_every_address_if_the_network_is_trusted() -> None:
    with lend("--host", "0.0.0.0", "--i-trust-this-network") as found:
        port = found.address.rpartition(":")[2]
        assert found.lines[-1].endswith(f"--worker {socket.gethostname()}:{port}")
        assert ask(Address("127.0.0.1", int(port))).devices


def test_half_a_tensor_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "rpc"
    folder.mkdir()
    old, new = folder / "00000000deadbeef", folder / "00000000feedbeef"
    for path in (old, new):
        path.write_bytes(b"x")
    then = time.time() - DOUBTFUL - 5
    os.utime(old, (then, then))
    drop_doubtful(folder)
    assert list(folder.iterdir()) == [old]


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * GIB), ("512M", 512 * MIB), ("1.5 GiB", 3 * GIB // 2), ("2gb", 2 * GIB), ("99", 99)],
)
def test_a_size_is_read_in_powers_of_1024(text: str, size: int) -> None:
    assert n_bytes(text) == size
