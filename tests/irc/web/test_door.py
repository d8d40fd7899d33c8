"""Browsers at the port of the server: WebSockets, and who may open one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from browser_wire import ask, get, open_socket, registered, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from wire import Connect, Running, Serve, wait_for

import relay_gguf.irc.connection
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.web.websocket import WebSocket

TEXT, BINARY = "text.ircv3.net", "binary.ircv3.net"


@pytest.mark.parametrize(
    ("offered", "agreed", "kind"),
    [
        ([TEXT], TEXT, str),
        ([BINARY], BINARY, bytes),
        ([BINARY, TEXT], BINARY, bytes),
        (["other", TEXT, BINARY], TEXT, str),
        (["other"], None, str),
        ([], None, str),
    ],
)
def test_the_clients_order_of_subprotocols_counts(
    running: Running, offered: list[str], agreed: str | None, kind: type
) -> None:
    with open_socket(running, *offered) as websocket:
        assert websocket.subprotocol == agreed
        websocket.send("PING x")
        got = websocket.recv(10)
        assert isinstance(got, kind)
        line = got if isinstance(got, str) else got.decode()
        assert line == ":relay.localhost PONG relay.localhost :x"


def test_without_a_subprotocol_the_answer_is_what_the_first_message_was(running: Running) -> None:
    with open_socket(running) as websocket:
        websocket.send(b"PING x\r\n")
        assert websocket.recv(10) == b":relay.localhost PONG relay.localhost :x"


def test_a_message_is_a_line_and_its_end_is_not_needed(running: Running, connect: Connect) -> None:
    bob = connect(running, "bob")["bob"]
    with registered(running, "ann") as ann:
        ann.send("PRIVMSG bob :grüße\r\n")
        assert bob.line() == ":ann!ann@localhost PRIVMSG bob :grüße"
        ann.send(["PRIVMSG bob :in ", "three ", "frames"])
        assert bob.line().endswith(":in three frames")
        ann.send(b"PRIVMSG bob :binary")
        assert bob.line().endswith(":binary")
        ann.send("PRIVMSG bob :one\nPRIVMSG bob :two")
        assert [bob.line()[-3:], bob.line()[-3:]] == ["one", "two"]
        bob.send("PRIVMSG ann :hi")
        assert ann.recv(10) == ":bob!bob@localhost PRIVMSG ann :hi"


def test_bytes_that_are_not_utf8_are_refused(running: Running) -> None:
    with registered(running, "ann") as ann:
        ann.send(b"PRIVMSG ann :caf\xe9")
        assert "FAIL PRIVMSG INVALID_UTF8" in str(ann.recv(10))
        ann.send(b"PRIVMSG ann :caf\xe9", text=True)
        assert code_of(ann) == 1007


def test_a_line_that_is_too_long_is_answered_and_a_frame_that_is_far_too_long_ends_it(
    running: Running,
) -> None:
    with registered(running, "ann") as ann:
        ann.send("PRIVMSG ann :" + "x" * 6000)
        assert " 417 ann " in str(ann.recv(10))
        ann.send("x" * (1 << 20))
        assert code_of(ann) == 1009
        wait_for(lambda: not running.server.network.clients)


def code_of(websocket: ClientConnection) -> int | None:
    """With which code the other end closes a WebSocket."""
    with pytest.raises(ConnectionClosed) as closed:
        until(websocket, "nothing like this")
    return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example:6667", "Origin": "http://evil.example:6667"},
        {"Host": "evil.example"},
    ],
)
def test_another_sites_page_is_refused(running: Running, headers: dict[str, str]) -> None:
    """A made-up Host is what a name shows that suddenly means 127.0.0.1 (DNS rebinding)."""
    assert get(running, **headers).status == 403
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert get(running, **handshake, **key, **headers).status == 403
    if "Host" not in headers:
        refused = open_socket(running, TEXT, origin=headers["Origin"])
        with pytest.raises(InvalidStatus), refused:
            pass


def test_our_own_page_may_speak(running: Running) -> None:
    host, port = running.address
    with open_socket(running, TEXT, origin=f"http://{host}:{port}") as websocket:
        websocket.send("PING x")
        websocket.recv(10)


def test_the_password_is_asked_for(serve: Serve) -> None:
    running = serve(password="sesame")
    with open_socket(running, TEXT) as websocket:
        websocket.send("NICK ann")
        websocket.send("USER ann 0 * :Ann")
        assert " 464 ann " in str(websocket.recv(10))
        assert str(websocket.recv(10)).startswith("ERROR :Closing link: ann[localhost] (Password")
        assert code_of(websocket) == 1000


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@contextmanager
def deaf(running: Running) -> Iterator[tuple[socket.socket, Client]]:
    """A WebSocket that is never read from, with small buffers at both ends; and its client."""
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(0.2)
        wire.connect(running.address)
        wire.sendall(HANDSHAKE)
        found = running.server.network.clients
        wait_for(lambda: [one for one in found if isinstance(one.outlet, WebSocket)])
        (client,) = [one for one in found if isinstance(one.outlet, WebSocket)]
        below = client.outlet.transport.get_extra_info("socket")
        below.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield wire, client


def masked(text: bytes, opcode: int = 0x81) -> bytes:
    """A frame of a client's, up to 125 bytes."""
    return bytes([opcode, 0x80 | len(text)]) + b"\0\0\0\0" + text


def test_who_does_not_read_is_disconnected(serve: Serve, connect: Connect) -> None:
    running = serve(limits=Limits(sendq=50_000, linger=0.1))
    bob = connect(running, "bob")["bob"]
    bob.ask("MONITOR + slow")
    with deaf(running) as (wire, client):
        wire.sendall(masked(b"NICK slow") + masked(b"USER slow 0 * :Slow"))
        assert bob.line().endswith("730 bob :slow!slow@localhost")

        def flood() -> None:
            for _ in range(20):
                running.server.say("slow", "x" * 400)

        while not client.gone:
            running.call(flood)
        assert bob.line() == ":relay.localhost 731 bob :slow"
        wait_for(lambda: client not in running.server.network.clients)


def test_pings_that_nobody_reads_the_answers_of_fill_no_memory(running: Running) -> None:
    with deaf(running) as (wire, client):
        ping = masked(b"x" * 125, 0x89)
        with pytest.raises(TimeoutError):
            wire.sendall(ping * 200_000)
        assert client.outlet.transport.get_write_buffer_size() < 1 << 18


def test_silent_websockets_are_pinged_and_ended(serve: Serve) -> None:
    running = serve(limits=Limits(register=60))
    check, start = running.server.check_timeouts, time.monotonic()
    with registered(running, "ann") as ann, open_socket(running, TEXT) as silent:
        running.call(check, start + 130)
        assert ann.recv(10) == "PING :relay.localhost"
        assert "Registration timeout" in str(silent.recv(10))
        assert code_of(silent) == 1000
        running.call(check, start + 190)
        assert "Ping timeout" in str(ann.recv(10))


def test_a_browser_that_leaves_is_a_quit(running: Running, connect: Connect) -> None:
    bob = connect(running, "bob")["bob"]
    bob.ask("JOIN #c")
    with registered(running, "ann") as ann:
        ann.send("JOIN #c")
        bob.until("ann.* JOIN")
    assert bob.line() == ":ann!ann@localhost QUIT :Connection closed"


def test_stopping_tells_browsers(serve: Serve) -> None:
    running = serve()
    with registered(running, "ann") as ann:
        running.stop()
        assert "Server is going down" in str(ann.recv(10))
        assert code_of(ann) == 1000


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            b"426",
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", b"431"),
        (b"GET /\r\n\r\n", b""),
        (b"GET " + b"\xff" * 100 + b"\r\n\r\n", b""),
    ],
)
def test_broken_requests_harm_nobody(running: Running, request_: bytes, status: bytes) -> None:
    got = ask(running, request_)[9:12]
    assert got == status or (status == b"431" and not got)  # an older websockets says nothing
    wait_for(lambda: not running.server.network.clients)


def test_an_irc_client_may_begin_with_the_same_letters(running: Running) -> None:
    with socket.create_connection(running.address, 10) as wire:
        wire.sendall(b"GE")
        wire.sendall(b"TX\r\nPING x\r\n")
        found = b""
        while b"PONG" not in found:
            found += wire.recv(4096)
        assert b" 451 " in found


def test_without_websockets_the_page_says_what_to_install(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_gguf.irc.connection, "find_spec", lambda name: None)
    got = get(running)
    assert got.status == 503
    assert b"pip install 'relay-gguf[web]'" in got.body
