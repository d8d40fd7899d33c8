"""Operators of the server, and the channels that they and others do not see."""

from __future__ import annotations

import pytest
from recording import RecordingHooks
from wire import Connect, Running, Serve

from relay_gguf.irc.network.network import OperatorLogin


@pytest.fixture
def running(serve: Serve) -> Running:
    """A server with an operator."""
    return serve(RecordingHooks(), operator=OperatorLogin("oper", "secret"))


def test_an_operator_is_seen_as_one(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    assert anon.ask("OPER oper secret") == [
        ":relay.localhost 381 anon :You are now an IRC operator",
        ":anon!anon@localhost MODE anon +o",
    ]
    assert any(" 313 bob anon :is an IRC operator" in line for line in bob.ask("WHOIS anon"))
    assert " anon H* :0 Anon" in bob.ask("WHO anon")[0]
    assert [line.split()[7] for line in bob.ask("WHO * o") if " 352 " in line] == ["anon"]
    assert " 252 bob 1 :operator(s) online" in str(bob.ask("LUSERS"))
    assert "anon*=+anon@localhost" in str(bob.ask("USERHOST anon"))
    assert anon.ask("MODE anon -o") == [":anon!anon@localhost MODE anon -o"]
    assert anon.ask("MODE anon +o", "KILL bob")[0].startswith(":relay.localhost 481 anon ")


@pytest.mark.parametrize("given", ["oper wrong", "other secret", "oper :", "other wrong"])
def test_a_wrong_login_makes_no_operator(running: Running, connect: Connect, given: str) -> None:
    anon = connect(running, "anon")["anon"]
    assert anon.ask(f"OPER {given}") == [":relay.localhost 464 anon :Password incorrect"]
    assert " 481 " in anon.ask("WALLOPS :x")[0]


def test_an_operator_ends_a_connection(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob", "carl")
    for nick in ("bob", "carl"):
        wires[nick].ask("JOIN #c")
    wires["bob"].sync()
    wires["anon"].ask("OPER oper secret", "KILL bob :too loud")
    assert wires["bob"].rest()[-2:] == [
        ":anon!anon@localhost KILL bob :too loud",
        "ERROR :Closing link: bob[localhost] (Killed (anon (too loud)))",
    ]
    assert ":bob!bob@localhost QUIT :Killed (anon (too loud))" in wires["carl"].sync()
    refused = wires["anon"].ask("KILL user")
    assert refused == [":relay.localhost 483 anon :user is a part of the server"]
    wires["anon"].send("KILL anon")
    assert wires["anon"].rest()[-1].endswith("(Killed (anon (no reason given)))")


def test_wallops_is_for_those_who_want_it(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob", "carl")
    wires["bob"].ask("MODE bob +w")
    assert wires["anon"].ask("OPER oper secret", "WALLOPS :hi all")[2:] == []
    assert wires["bob"].sync() == [":anon!anon@localhost WALLOPS :hi all"]
    assert wires["carl"].sync() == []


def test_a_secret_channel_is_seen_by_its_members_alone(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #c", "MODE #c +s")
    assert ":relay.localhost 353 anon @ #c :user @anon" in anon.ask("NAMES #c")
    assert " 322 anon #c " in str(anon.ask("LIST"))
    assert " 319 anon anon :@#c" in str(anon.ask("WHOIS anon"))
    assert bob.ask("NAMES #c") == [":relay.localhost 366 bob #c :End of /NAMES list"]
    assert bob.ask("WHO #c") == [":relay.localhost 315 bob #c :End of /WHO list"]
    for asked in ("NAMES", "LIST", "WHOIS anon", "WHOIS user"):
        assert "#c" not in str(bob.ask(asked)), asked
    assert any(" 353 bob @ #c " in line for line in bob.ask("JOIN #c"))


def test_whowas_tells_who_left_the_last_one_first(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon")["anon"]
    for nick in ("bob", "carl"):
        other = connect(running, nick)[nick]
        other.ask("NICK Dan")
        other.send("QUIT")
        other.rest()
    anon.ask("NICK eve")
    found = [line for line in anon.ask("WHOWAS dan") if " 314 " in line]
    assert found == [
        f":relay.localhost 314 eve Dan {name} localhost * :{name.title()}"
        for name in ("carl", "bob")
    ]
    got = anon.ask("WHOWAS dan 1")
    assert [line.split()[1] for line in got] == ["314", "312", "369"]
    assert " 314 eve anon anon localhost * :Anon" in str(anon.ask("WHOWAS an*"))
    assert [line.split()[1] for line in anon.ask("WHOWAS eve")] == ["406", "369"]


def test_several_are_kicked_from_as_many_channels(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob", "carl")
    for wire in wires.values():
        wire.ask("JOIN #a,#b")
    wires["anon"].sync()
    assert wires["anon"].ask("KICK #a,#b bob,carl :bye") == [
        ":anon!anon@localhost KICK #a bob :bye",
        ":anon!anon@localhost KICK #b carl :bye",
    ]
