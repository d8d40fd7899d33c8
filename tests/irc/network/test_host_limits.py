"""What one host may do: connections, and wrong passwords."""

from __future__ import annotations

import logging
import re

import pytest
from wire import Connect, Dial, Serve, wait_for

from relay_gguf.irc.network.host_limits import HostLimits, host_group
from relay_gguf.irc.network.limits import Limits


def test_a_host_that_guesses_passwords_has_to_wait() -> None:
    now = 0.0
    hosts = HostLimits(Limits(guesses=3, guess=6.0), lambda: now)
    for _ in range(3):
        assert hosts.wait("1.2.3.4") == 0
        hosts.note_wrong("1.2.3.4")
    assert hosts.wait("1.2.3.4") == 6
    assert hosts.wait("1.2.3.5") == 0
    now = 6.0
    assert hosts.wait("1.2.3.4") == 0
    hosts.note_wrong("1.2.3.4")
    assert hosts.wait("1.2.3.4") == 6
    now = 60.0
    assert hosts.wait("1.2.3.4") == 0


def test_hosts_that_waited_are_forgotten() -> None:
    now = 0.0
    hosts = HostLimits(Limits(), lambda: now)
    for n in range(3000):
        now += 1.0
        hosts.note_wrong(f"10.0.{n // 256}.{n % 256}")
    assert len(hosts._wrong) <= 1001


def test_an_ipv6_network_is_one_host() -> None:
    assert host_group("2001:db8:1:2:3::4") == host_group("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert host_group("2001:db8:1:3::9") != host_group("2001:db8:1:2::9")
    assert host_group("0::1") == "::/64"
    assert host_group("localhost") == "localhost"


def test_wrong_passwords_are_logged_and_after_some_not_looked_at(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(password="secret", limits=Limits(guesses=2, guess=1000.0))
    answers = []
    for given in ("a", "b", "c", "secret"):
        wire = dial(running)
        wire.send(f"PASS {given}", "NICK anon", "USER anon 0 * :Anon")
        answers.append(wire.rest()[0].rpartition(":")[2])
    assert answers[:2] == ["Password incorrect"] * 2
    assert all(re.fullmatch(r" try again in \d+ seconds", answer) for answer in answers[2:])
    first, last = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert first == "wrong password from localhost, nick anon"
    assert re.fullmatch(rf"{first}; the next is looked at in \d+ seconds", last)


def test_a_right_password_comes_in_after_a_few_wrong_ones(serve: Serve, dial: Dial) -> None:
    running = serve(password="secret")
    for given in ("a", "b", "c"):
        wire = dial(running)
        wire.send(f"PASS {given}", "NICK anon", "USER anon 0 * :Anon")
        wire.rest()
    wire = dial(running)
    wire.send("PASS secret")
    wire.register("anon")


@pytest.mark.thorough
def test_silent_connections_keep_nobody_out(serve: Serve, connect: Connect, dial: Dial) -> None:
    running = serve()
    silent = [dial(running) for _ in range(320)]
    anon = connect(running, "anon")["anon"]
    assert "PONG" in str(anon.ask("PING x"))
    assert silent[0].rest() == [
        "ERROR :Closing link: *[localhost] (Too many connections wait to register)"
    ]
    wait_for(lambda: len(running.server.network.clients) <= Limits().unregistered + 1)


def test_silent_connections_take_no_room_from_those_who_register(
    serve: Serve, connect: Connect, dial: Dial
) -> None:
    running = serve(limits=Limits(clients=24))
    for _ in range(30):
        dial(running)
    connect(running, *(f"n{n}" for n in range(20)))
    assert len(running.server.network.registered) == 20


def test_one_host_leaves_room_for_others(serve: Serve, connect: Connect, dial: Dial) -> None:
    running = serve(limits=Limits(clients=12))
    connect(running, *(f"n{n}" for n in range(10)))
    assert dial(running).rest() == [
        "ERROR :Closing link: *[localhost] (Too many connections from your host)"
    ]
