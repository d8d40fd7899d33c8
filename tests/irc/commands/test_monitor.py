"""MONITOR: who comes and goes."""

from __future__ import annotations

from recording import RecordingHooks
from wire import Connect, Running, Serve

from relay_gguf.irc.network.limits import Limits

HERE, GONE = ":relay.localhost 730 anon :", ":relay.localhost 731 anon :"


def test_a_client_is_told_who_comes_and_goes(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon")["anon"]
    assert anon.ask("MONITOR + bob,Carl") == [GONE + "bob,Carl"]
    bob = connect(running, "bob")["bob"]
    assert anon.sync() == [HERE + "bob!bob@localhost"]
    bob.ask("NICK BOB")
    assert anon.sync() == []
    bob.ask("NICK carl")
    assert anon.sync() == [GONE + "BOB", HERE + "carl!bob@localhost"]
    assert anon.ask("MONITOR S") == [HERE + "carl!bob@localhost", GONE + "bob"]
    assert anon.ask("MONITOR - carl") == []
    bob.send("QUIT")
    bob.rest()
    assert anon.sync() == []
    assert anon.ask("MONITOR L") == [
        ":relay.localhost 732 anon :bob",
        ":relay.localhost 733 anon :End of MONITOR list",
    ]
    assert anon.ask("MONITOR C", "MONITOR L")[1:] == []


def test_the_model_is_always_here_and_a_list_can_be_full(serve: Serve, connect: Connect) -> None:
    anon = connect(serve(RecordingHooks(), limits=Limits(monitor=2)), "anon")["anon"]
    assert anon.ask("MONITOR + user") == [HERE + "user!user@relay.localhost"]
    assert anon.ask("MONITOR + a,b,c") == [
        ":relay.localhost 734 anon 2 b,c :Monitor list is full",
        GONE + "a",
    ]
