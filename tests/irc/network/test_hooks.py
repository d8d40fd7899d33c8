"""Hooks: when they are called, what they answer, and what they may do on the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from recording import RecordingHooks
from wire import Connect, Running, Serve, numerics, play, wait_for

from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import StoredChannel, StoredMessage
from relay_gguf.irc.network.limits import Limits


@pytest.fixture
def hooks() -> RecordingHooks:
    return RecordingHooks()


@pytest.fixture
def running(serve: Serve, hooks: RecordingHooks) -> Running:
    """A server with these hooks."""
    return serve(hooks)


def test_a_persona_is_a_member_a_bot_and_answers_ctcp(running: Running, connect: Connect) -> None:
    play(
        connect(running, "anon", "bob"),
        """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :user @anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        anon> WHO #c
        anon< :relay.localhost 352 anon #c user relay.localhost relay.localhost user HB :0 The model
        anon< :relay.localhost 352 anon #c anon localhost relay.localhost anon H@ :0 Anon
        anon< :relay.localhost 315 anon #c :End of /WHO list
        anon> WHOIS user
        anon< :relay.localhost 311 anon user user relay.localhost * :A pirate
        anon< :relay.localhost 319 anon user :#c
        anon< :relay.localhost 312 anon user relay.localhost :Relay
        anon< :relay.localhost 335 anon user :is a bot on Relay
        anon< :relay.localhost 320 anon user :I sell sardines
        anon< :relay.localhost 320 anon user :yyy...
        anon< :relay.localhost 320 anon user :yyy...
        anon< :relay.localhost 317 anon user 5 {signon} :seconds idle, signon time
        anon< :relay.localhost 318 anon user :End of /WHOIS list
        anon> WHOIS *relay
        anon< :relay.localhost 311 anon *relay relay relay.localhost * :Commands
        anon< :relay.localhost 312 anon *relay relay.localhost :Relay
        anon< :relay.localhost 335 anon *relay :is a bot on Relay
        anon< :relay.localhost 317 anon *relay {idle} {signon} :seconds idle, signon time
        anon< :relay.localhost 318 anon *relay :End of /WHOIS list
        anon> NICK user
        anon< :relay.localhost 433 anon user :Nickname is already in use
        anon> PRIVMSG user :\x01VERSION\x01
        anon< :user!user@relay.localhost NOTICE anon :\x01VERSION relay-gguf {version}
        anon> PRIVMSG user :\x01PING 123\x01
        anon< :user!user@relay.localhost NOTICE anon :\x01PING 123\x01
        anon> PRIVMSG user :\x01TIME\x01
        anon< :user!user@relay.localhost NOTICE anon :\x01TIME ...
        anon> PRIVMSG user :\x01CLIENTINFO\x01
        anon< :user!user@relay.localhost NOTICE anon :\x01CLIENTINFO ...
        anon> PRIVMSG user :\x01DCC SEND x\x01
        anon> NOTICE user :\x01VERSION\x01
        anon> LIST
        anon< :relay.localhost 321 anon Channel :Users  Name
        anon< :relay.localhost 322 anon #saved 7 :Sardines
        anon< :relay.localhost 322 anon #open 3 :not now
        anon< :relay.localhost 322 anon #c 2 :
        anon< :relay.localhost 323 anon :End of /LIST
        bob> JOIN #c
        bob< :bob!bob@localhost JOIN #c
        bob< :relay.localhost 353 bob = #c :user @anon bob
        bob< :relay.localhost 366 bob #c :End of /NAMES list
        anon< :bob!bob@localhost JOIN #c
        anon> PART #c
        anon< :anon!anon@localhost PART #c
        bob< :anon!anon@localhost PART #c
        bob< :relay.localhost MODE #c +o bob
        """,
    )


def test_hooks_are_called_in_order(
    running: Running, hooks: RecordingHooks, connect: Connect
) -> None:
    wires = connect(running, "anon", "bob", caps="message-tags")
    wires["anon"].ask("JOIN #c", "TOPIC #c :Night", "PRIVMSG #c :hi", "NOTICE #c :psst")
    wires["anon"].ask("PRIVMSG #c :\x01ACTION waves\x01", "PRIVMSG #c :\x01VERSION\x01")
    wires["anon"].ask("PRIVMSG user :you", "PRIVMSG *relay :retry", "PRIVMSG bob :not yours")
    wires["anon"].ask("@+typing=active TAGMSG #c", "@+typing=done TAGMSG bob", "TOPIC #c :")
    wires["bob"].ask("JOIN #c")
    wires["anon"].ask("KICK #c bob", "PART #c", "JOIN #c")
    wires["anon"].send("QUIT")
    wires["anon"].rest()
    wait_for(lambda: hooks.told.count(("parted", "anon", "#c")) == 2)
    private = [entry for entry in hooks.told if entry[2] not in ("#c",)]
    assert private == [("privmsg", "anon", "user", "you"), ("privmsg", "anon", "*relay", "retry")]
    hooks.told.remove(("typing", "anon", "#c", "active"))
    assert [entry for entry in hooks.told if entry not in private] == [
        ("joined", "anon", "#c"),
        ("topic", "anon", "#c", "Night"),
        ("privmsg", "anon", "#c", "hi"),
        ("notice", "anon", "#c", "psst"),
        ("action", "anon", "#c", "waves"),
        ("topic", "anon", "#c", ""),
        ("joined", "bob", "#c"),
        ("parted", "bob", "#c"),
        ("parted", "anon", "#c"),
        ("joined", "anon", "#c"),
        ("parted", "anon", "#c"),
    ]


def test_hooks_do_the_commands_that_the_server_does_not_know(
    running: Running, hooks: RecordingHooks, connect: Connect
) -> None:
    wires = connect(running, "anon")
    play(
        wires,
        """
        anon> retry
        anon> @a=b DANCE  wildly :in the moonlight
        anon> NO way
        anon< :relay.localhost 421 anon NO :Unknown command
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :user @anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        anon> KICK #c user :out
        """,
    )
    assert [entry for entry in hooks.told if entry[0] != "joined"] == [
        ("RETRY", (), "retry"),
        ("DANCE", ("wildly", "in the moonlight"), "DANCE  wildly :in the moonlight"),
        ("NO", ("way",), "NO way"),
        ("KICK", ("#c", "user", "out"), "KICK #c user out"),
    ]


def test_slow_hooks_hold_up_nothing_but_their_channel(
    running: Running, hooks: RecordingHooks, connect: Connect
) -> None:
    """Messages wait their turn; other channels, other clients and a CANCEL do not."""
    wires = connect(running, "anon", "bob")
    wires["anon"].ask("JOIN #a", "JOIN #b")
    wires["bob"].ask("JOIN #a")
    running.call(hooks.gate.clear)
    wires["anon"].ask(*(f"PRIVMSG #a :{n}" for n in range(5)), "TOPIC #a :later")
    wires["anon"].ask("SLOW", "TOPIC #b :now")
    wait_for(lambda: ("topic", "anon", "#b", "now") in hooks.told)
    assert len([line for line in wires["bob"].sync() if "PRIVMSG" in line]) == 5
    assert not [entry for entry in hooks.told if entry[0] == "privmsg"]
    running.call(hooks.gate.set)
    wait_for(lambda: ("topic", "anon", "#a", "later") in hooks.told)
    said = [entry[3] for entry in hooks.told if entry[0] == "privmsg"]
    assert said == ["0", "1", "2", "3", "4"]
    assert hooks.told[-1] == ("topic", "anon", "#a", "later")


def test_messages_over_the_limit_of_waiting_jobs_are_passed_over(
    serve: Serve, hooks: RecordingHooks, connect: Connect
) -> None:
    running = serve(hooks, limits=Limits(waiting=3))
    wire = connect(running, "anon")["anon"]
    wire.ask("JOIN #a")
    running.call(hooks.gate.clear)
    wire.ask("PRIVMSG #a :0")
    got = wire.ask(*(f"PRIVMSG #a :{n}" for n in range(1, 6)))
    assert numerics(got) == ["NOTICE", "NOTICE"]
    assert "wait for an answer" in got[0]
    running.call(hooks.gate.set)
    wait_for(lambda: ("privmsg", "anon", "#a", "3") in hooks.told)
    assert ("privmsg", "anon", "#a", "5") not in hooks.told


def test_the_server_goes_on_after_a_hook_raised(
    running: Running, hooks: RecordingHooks, connect: Connect
) -> None:
    wire = connect(running, "anon")["anon"]
    wire.ask("JOIN #a", "PRIVMSG #a :raise", "PRIVMSG #a :fine")
    wait_for(lambda: ("privmsg", "anon", "#a", "fine") in hooks.told)


def test_the_server_goes_on_after_a_hook_raised_at_once(serve: Serve, connect: Connect) -> None:
    class Broken(RecordingHooks):
        def motd(self) -> Sequence[str]:
            raise ValueError("as expected")

        def leaving(self, client: Client, channel: str) -> None:
            raise ValueError("as expected")

    wire = connect(serve(Broken()), "anon")["anon"]
    assert numerics(wire.ask("JOIN #c", "PART #c")) == ["JOIN", "353", "366", "PART"]


def test_commands_over_the_limit_of_waiting_jobs_are_refused(
    serve: Serve, hooks: RecordingHooks, connect: Connect
) -> None:
    running = serve(hooks, limits=Limits(waiting=1, patience=0.01))
    wire = connect(running, "anon")["anon"]
    running.call(hooks.gate.clear)
    assert wire.ask("SLOW", "SLOW", "SLOW") == [
        ":relay.localhost 421 anon SLOW :Too many commands wait already"
    ]
    running.call(hooks.gate.set)


def test_hooks_may_speak_type_and_set_topics(
    running: Running, hooks: RecordingHooks, connect: Connect
) -> None:
    wires = {**connect(running, "anon", caps="message-tags"), **connect(running, "bob")}
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["anon"].sync()
    server = running.server
    assert hooks.server is server
    running.call(server.typing, "#c", "active")
    running.call(server.say, "#C", "hello\x01\x00")
    running.call(server.say, "bob", "psst", "*relay")
    running.call(server.say, "#c", "in your name", "anon")
    running.call(server.say, "#c", "as a stranger", "a stranger!")
    running.call(server.set_topic, "#c", "Day\nbreak", "anon")
    running.call(server.set_topic, "#c", "")
    running.call(server.set_topic, "#nowhere", "x")
    running.call(server.inform, "#c", "* 5 tokens left")
    (client,) = (c for c in running.call(server.clients, "#c") if c.nick == "bob")
    assert running.call(server.clients, "#nowhere") == []
    wires["bob"].ask("NICK robert")
    running.call(server.say, client, "still you")
    play(
        wires,
        """
        anon< @bot;+typing=active :user!user@relay.localhost TAGMSG #c
        anon< @bot;msgid={id} :user!user@relay.localhost PRIVMSG #c :hello
        anon< @msgid={id} :anon!anon@localhost PRIVMSG #c :in your name
        anon< @msgid={id} :astranger!astranger@relay.localhost PRIVMSG #c :as a stranger
        anon< :anon!anon@localhost TOPIC #c :Day break
        anon< @bot :user!user@relay.localhost TOPIC #c :
        anon< @msgid={id} :relay.localhost NOTICE #c :* 5 tokens left
        anon< :bob!bob@localhost NICK robert
        bob< :user!user@relay.localhost PRIVMSG robert :still you
        """,
    )


def test_the_message_of_the_day_is_that_of_the_hooks(running: Running, connect: Connect) -> None:
    motd = [line for line in connect(running, "anon")["anon"].ask("MOTD") if " 372 " in line]
    assert motd[0] == ":relay.localhost 372 anon :- /retry  Another reply"
    assert [len(line) for line in motd[1:]] == [409, 149]


def test_hooks_that_do_not_answer_are_not_waited_for(serve: Serve, connect: Connect) -> None:
    class Mute(RecordingHooks):
        async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
            await asyncio.sleep(60)
            return ()

        async def list_channels(self) -> Sequence[StoredChannel]:
            raise OSError("as expected")

    wire = connect(serve(Mute(), limits=Limits(answer=0.2)), "anon")["anon"]
    assert numerics(wire.ask("JOIN #saved", "LIST"))[-2:] == ["322", "323"]


def test_two_join_at_once_while_a_hook_takes_its_time(serve: Serve, connect: Connect) -> None:
    class Slow(RecordingHooks):
        async def topic(self, channel: str) -> Topic | None:
            await asyncio.sleep(0.1)
            return None

    wires = connect(serve(Slow()), "anon", "bob")
    for wire in wires.values():
        wire.send("JOIN #c", "JOIN #c")
    names = [wire.sync()[-2].split(" :")[1] for wire in wires.values()]
    wires["bob"].send("NAMES #c")
    assert sorted(wires["bob"].until(" 353 ")[-1].split(" :")[1].replace("@", "").split()) == [
        "anon",
        "bob",
        "user",
    ]
    assert sum("@" in name for name in names) >= 1


def test_a_client_may_leave_while_a_hook_takes_its_time(serve: Serve, connect: Connect) -> None:
    entered = threading.Event()

    class Slow(RecordingHooks):
        async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
            entered.set()
            await asyncio.sleep(0.2)
            return ()

    running = serve(Slow())
    wires = connect(running, "anon", "bob")
    wires["anon"].send("JOIN #c")
    assert entered.wait(5)
    client = running.call(running.server.network.user, "anon")
    running.call(running.server.disconnect, client, "Gone")
    assert wires["anon"].rest()[-1] == "ERROR :Closing link: anon[localhost] (Gone)"
    assert numerics(wires["bob"].ask("NAMES #c")) == ["366"]
    assert running.server.network.channels == {}
