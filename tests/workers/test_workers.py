"""Workers: what is asked of them, what each bad one gets, how they are lent, planned and named."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from lent import Lent, lend
from test_plan import Q4_K_M, machine

from relay_gguf.cli import app as cli
from relay_gguf.errors import RelayError, SettingsError, WorkerError
from relay_gguf.fit.memory import GIB, MIB, n_bytes
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.fit.speed import tokens_per_second
from relay_gguf.fit.traffic import MESSAGES, traffic
from relay_gguf.llama import rpc
from relay_gguf.machine.devices import Gpu
from relay_gguf.models.listing import plan_json, plan_lines
from relay_gguf.settings import chat_settings, read_config
from relay_gguf.workers import lending
from relay_gguf.workers.address import Address, parse_address, parse_addresses, reach
from relay_gguf.workers.gpus import worker_gpus
from relay_gguf.workers.lending import Lending, Terms
from relay_gguf.workers.protocol import ask, ask_all
from relay_gguf.workers.tensor_cache import DOUBTFUL, drop_doubtful

PATIENCE = 5.0
"""Seconds: nobody waits longer without a word."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Lent]:
    """One that lends 3 GiB of the CPU."""
    with lend("--memory", "3G") as found:
        yield found


# Addresses


def test_an_address_is_a_host_and_a_port() -> None:
    assert parse_address("10.0.0.7") == Address("10.0.0.7", 50052)
    assert str(parse_address(" attic.local:7 ")) == "attic.local:7"
    assert parse_addresses(["a", "b:1", "a:50052"]) == (Address("a"), Address("b", 1))
    with pytest.raises(SettingsError, match="takes at most 15"):
        parse_addresses([f"a{n}" for n in range(16)])


@pytest.mark.parametrize(
    ("number", "by"),
    [
        ("127.0.0.1", "loopback"),
        ("127.3.2.1", "loopback"),
        ("10.1.2.3", "private"),
        ("192.168.1.4", "private"),
        ("172.16.0.1", "private"),
        ("169.254.7.7", "private"),
        ("100.100.1.1", "private"),
        ("0.0.0.0", "public"),
        ("8.8.8.8", "public"),
        ("172.32.0.1", "public"),
    ],
)
def test_who_can_reach_an_address(number: str, by: str) -> None:
    assert reach(number) == by


# Bad ones


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends with; it must come soon."""
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments])
    assert time.monotonic() - began < PATIENCE
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("relay-gguf: ")
    assert said.err.count("\n") == 1
    return said.err


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


BAD = [
    ("attic:", "'attic:': '' is not a port."),
    (
        "attic:http",
        "'http' is not a port. It must be a number from 1 to 65535; the default is 50052.",
    ),
    ("attic:0", "'0' is not a port."),
    ("attic:65536", "'65536' is not a port."),
    ("::1", "have IPv4 addresses only."),
    ("", "has no host: name it as HOST:PORT, like 10.0.0.7:50052."),
    ("http://attic:50052", "have IPv4 addresses only."),
    ("at tic", "has no host"),
    ("attic.invalid", "no machine with an IPv4 address is called 'attic.invalid'."),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_wrong_address_is_refused(
    text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why in complaint(capsys, "devices", "--worker", text)


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
    with serving(mute) as first, serving(mute) as second:
        began = time.monotonic()
        with pytest.raises(WorkerError, match=first):
            ask_all(parse_addresses([first, second]), timeout=0.5)
        assert time.monotonic() - began < 2 * 0.5


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


# Lending


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
        closing(socket.create_connection((host, int(port)), PATIENCE)) as sock,
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_both_processes_at_once(number: int, code: int) -> None:
    with lend() as found:
        server = found.server
        began = time.monotonic()
        assert found.end(number) == code
        server.wait(1)
        assert time.monotonic() - began < 2, "on a busy machine"


def test_the_server_ends_with_the_worker() -> None:
    with lend() as found:
        server = found.server
        found.process.kill()
        server.wait(PATIENCE)


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
        watching.join(PATIENCE)
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


# Planning


def remote(name: str, free: int, latency: float = 0.001) -> Gpu:
    return Gpu(name, f"attic:{name[-1]}", "RPC", free * GIB, free * GIB, latency=latency)


def test_traffic_is_counted_for_each_worker() -> None:
    on = replace(machine(32), gpus=(remote("RPC0", 6), remote("RPC1", 6)))
    plan = fit(Q4_K_M, on, LoadOptions())
    first, second = traffic(plan, on)
    assert plan.whole
    assert (first.device, first.address) == ("RPC0", "attic:0")
    assert first.on_load + second.on_load == sum(Q4_K_M.blocks) + Q4_K_M.output
    assert first.there == second.there == first.back + MESSAGES == 4 * Q4_K_M.n_embd + MESSAGES
    assert second.back == 4 * Q4_K_M.n_vocab
    assert list(traffic(plan, machine(32))) == []


def test_waiting_for_the_network_counts() -> None:
    near = replace(machine(32), gpus=(remote("RPC0", 12, 0.0),))
    far = replace(machine(32), gpus=(remote("RPC0", 12, 0.02),))
    plan = fit(Q4_K_M, near, LoadOptions())
    slower = 1 / tokens_per_second(plan, far) - 1 / tokens_per_second(plan, near)
    assert slower == pytest.approx(0.02)


def test_the_plan_names_addresses() -> None:
    on = replace(machine(32), gpus=(remote("RPC0", 12), remote("RPC1", 1)))
    plan = fit(Q4_K_M, on, LoadOptions(main_gpu=0))
    said = "\n".join(plan_lines(plan, on))
    assert "RPC0 is attic:0. 7.09 GB travel there on load" in said
    assert "which waits 1.00 ms for the network." in said
    assert "RPC1 is attic:1. Nothing goes there." in said
    assert plan_json(plan, on)["workers"][0]["address"] == "attic:0"


def test_commands_that_plan(
    worker: Lent, smollm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.app(["devices", "--json", "--worker", worker.address], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["gpus"][0]["description"] == worker.address
    cli.app(["plan", str(smollm2), "--worker", worker.address], standalone_mode=False)
    said = capsys.readouterr().out
    assert "all 31 layers on RPC0" in said
    assert f"RPC0 is {worker.address}. 97 MB travel there on load" in said
    cli.app(["models", "--json", "--worker", worker.address], standalone_mode=False)
    plans = [file["plan"] for file in json.loads(capsys.readouterr().out)]
    assert any("RPC0" in json.dumps(plan) for plan in plans if plan)


# Options


def test_workers_in_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('worker = "attic"\n')
    config = read_config(path)
    assert chat_settings({}, config).load.workers == ("attic",)
    assert chat_settings({"worker": ["b", "c"]}, config).load.workers == ("b", "c")
    assert chat_settings({"no_gpu": True}, config).load == LoadOptions(no_gpu=True)
    with pytest.raises(SettingsError, match="--no-gpu leaves nothing for a worker"):
        chat_settings({"no_gpu": True, "worker": ["b"]}, config)


def test_errors_of_workers_are_ours() -> None:
    assert issubclass(WorkerError, RelayError)


def test_a_chat_on_a_worker(worker: Lent, pico: Path) -> None:
    command = [sys.executable, "-m", "relay_gguf", "chat", str(pico), "--plain"]
    options = ["--worker", worker.address, "--max-tokens", "3", "--seed", "1"]
    run = subprocess.run(
        [*command, *options], input="hi\n/quit\n", capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "The model is loaded: all 3 layers on RPC0." in run.stdout + run.stderr
    assert "<user>" in run.stdout
    assert not [p for p in psutil.Process().children(recursive=True) if "serving" in p.name()]
