"""The server: browsers kept out, floods, timeouts, start and stop."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from wire import Connect, Dial, Running, Serve, Wire, numerics, wait_for

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.server import Server


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\nNICK evil\r\nUSER a 0 * :A\r\nJOIN #c\r\n",
        b"PUT / HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"Host: localhost\r\n",
        b"NICK x\r\nhost: localhost\r\n",
        b"NICK x\r\nGET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_other_http_and_tls_get_no_answer(running: Running, dial: Dial, request_: bytes) -> None:
    wire = dial(running)
    wire.send_bytes(request_)
    assert wire.rest() == []
    wait_for(lambda: not running.server.network.clients)
    assert running.server.network.users == {}


def test_http_after_registration_is_an_unknown_command(running: Running, connect: Connect) -> None:
    assert numerics(connect(running, "anon")["anon"].ask("GET / HTTP/1.1")) == ["421"]


def test_a_paste_is_slowed_down_and_arrives_whole(serve: Serve, connect: Connect) -> None:
    running = serve(limits=Limits(burst=20, rate=100))
    wires = connect(running, "anon", "bob")
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["anon"].sync()
    begin = time.monotonic()
    wires["anon"].send(*(f"PRIVMSG #c :line {n}" for n in range(200)))
    got = wires["bob"].until("line 199$")
    assert 1.5 < time.monotonic() - begin < 8
    assert [line.split(" :")[-1] for line in got] == [f"line {n}" for n in range(200)]


def test_a_flood_is_not_read_from_the_socket(serve: Serve, connect: Connect, dial: Dial) -> None:
    """What a client sends too much stays in the sockets: its own `send` stops at last."""
    running = serve(limits=Limits(burst=10, rate=1))
    anon = connect(running, "anon")["anon"]
    flooder = anon._socket
    flooder.settimeout(0.3)
    with pytest.raises(TimeoutError):
        flooder.sendall((b"PRIVMSG x :" + b"y" * 480 + b"\r\n") * 50_000)
    begin = time.monotonic()
    other = dial(running).register("bob")
    assert len(other.ask("PING x")) == 1
    assert time.monotonic() - begin < 5, "not behind what the other sent"


def test_a_client_that_does_not_read_is_disconnected(
    serve: Serve, connect: Connect, dial: Dial
) -> None:
    running = serve(limits=Limits(sendq=50_000))
    bob = connect(running, "bob")["bob"]
    bob.ask("JOIN #c")
    slow = dial(running, small=True)
    slow.send("NICK slow", "USER slow 0 * :Slow")
    slow.until(" 376 ")
    slow.send("JOIN #c")
    bob.until(" JOIN ")
    server = running.server

    def flood() -> None:
        for _ in range(20):
            server.say("slow", "x" * 400)

    for _ in range(2000):
        running.call(flood)
        if len(server.network.clients) == 1:
            break
    assert bob.until("QUIT")[-1] == ":slow!slow@localhost QUIT :SendQ exceeded"
    wait_for(lambda: len(server.network.clients) == 1)
    assert bob.ask("PING x") == [":relay.localhost PONG relay.localhost :x"]


def test_the_server_can_be_full(serve: Serve, connect: Connect, dial: Dial) -> None:
    running = serve(limits=Limits(clients=2))
    wires = connect(running, "a", "b")
    assert dial(running).rest() == ["ERROR :Closing link: *[localhost] (The server is full)"]
    wires["a"].send("QUIT")
    wires["a"].rest()
    wait_for(lambda: len(running.server.network.clients) == 1)
    connect(running, "c")


def test_a_client_that_does_not_register_in_time_is_disconnected(
    running: Running, dial: Dial
) -> None:
    wire = dial(running)
    wire.ask("NICK anon", "CAP LS 302")
    running.call(running.server.check_timeouts, time.monotonic() + 59)
    assert wire.ask("CAP LIST") == [":relay.localhost CAP anon LIST :cap-notify"]
    running.call(running.server.check_timeouts, time.monotonic() + 61)
    assert wire.rest()[-1] == "ERROR :Closing link: anon[localhost] (Registration timeout)"


def test_a_client_that_does_not_answer_a_ping_is_disconnected(
    running: Running, connect: Connect
) -> None:
    wires = connect(running, "alive", "dead")
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["dead"].sync()
    wires["alive"].sync()
    check, start = running.server.check_timeouts, time.monotonic()
    running.call(check, start + 110)
    assert wires["alive"].sync() == []
    running.call(check, start + 130)
    assert wires["alive"].ask("PONG x") == ["PING :relay.localhost"]
    running.call(check, start + 190)
    quits = [line for line in wires["alive"].sync() if "QUIT" in line]
    assert len(quits) == 1
    assert quits[0].startswith(":dead!dead@localhost QUIT :Ping timeout: 1")
    assert wires["dead"].rest()[0] == "PING :relay.localhost"


def test_timeouts_are_checked_while_the_server_runs(serve: Serve, dial: Dial) -> None:
    wire = dial(serve(limits=Limits(register=0.1, check=0.05)))
    assert wire.rest() == ["ERROR :Closing link: *[localhost] (Registration timeout)"]


def test_a_lost_connection_is_a_quit(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob", "carl")
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["anon"].sync()
    wires["bob"].sync()
    wires["bob"].close()
    assert wires["anon"].line() == ":bob!bob@localhost QUIT :Connection closed"
    carl = wires["carl"]._socket
    carl.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    carl.close()  # with a reset
    assert wires["anon"].line().startswith(":carl!carl@localhost QUIT :Connection ")


def test_stopping_tells_everybody(serve: Serve, connect: Connect, dial: Dial) -> None:
    running = serve()
    wires = connect(running, "anon", "bob")
    for wire in wires.values():
        wire.ask("JOIN #c")
    raw = dial(running)
    wait_for(lambda: len(running.server.network.clients) == 3)
    running.stop()
    assert raw.rest() == ["ERROR :Closing link: *[localhost] (Server is going down)"]
    for nick, wire in wires.items():
        assert wire.rest()[-1] == f"ERROR :Closing link: {nick}[localhost] (Server is going down)"


def test_a_server_runs_as_long_as_its_context(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        async with Server() as server:
            host, port = server.address
            assert host == "127.0.0.1"
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"PING x\r\n")
            assert await reader.readline() == b":relay.localhost PONG relay.localhost :x\r\n"
            async with Server() as second:
                assert second.address != server.address
        assert (await reader.readline()).startswith(b"ERROR ")
        writer.close()
        with pytest.raises(RuntimeError, match="does not listen"):
            _ = server.address
        await server.stop()

    asyncio.run(run())
    assert capsys.readouterr() == ("", "")


def test_a_port_that_is_taken_is_an_error(running: Running) -> None:
    async def run() -> None:
        await Server().start(*running.address)

    with pytest.raises(OSError, match="in use"):
        asyncio.run(run())


@pytest.mark.thorough
def test_two_hundred_idle_clients_cost_nothing(serve: Serve) -> None:
    running = serve(limits=Limits(burst=1000))
    wires = [Wire(running.address).register(f"n{n}") for n in range(200)]
    for wire in wires:
        wire.ask("JOIN #c")
    time.sleep(0.2)
    begin = time.process_time()
    time.sleep(2)
    assert time.process_time() - begin < 0.05
    wires[0].send("PRIVMSG #c :wake up")
    for wire in wires[1:]:
        wire.until("wake up")
    for wire in wires:
        wire.close()
    wait_for(lambda: not running.server.network.clients)
    assert running.server.network.channels == {}


def test_a_command_that_fails_is_answered_and_the_server_goes_on(
    serve: Serve, connect: Connect
) -> None:
    class Broken(Hooks):
        personas = (Persona("user"),)

        def overheard(self, client: Client, target: str, text: str) -> bool:
            raise ValueError("as expected")

    wire = connect(serve(Broken()), "anon")["anon"]
    got = wire.ask("PRIVMSG user :x", "PING y")
    assert numerics(got) == ["400", "PONG"]
