"""Who lives on a server: what it is told and asked, and what it may do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from wire import Connect, Running, Serve, numerics, play, wait_for

from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks, ServerActions, StoredChannel, StoredMessage, Whois
from relay_gguf.irc.network.jobs import Jobs
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.network import server_time
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.server import Server


class Host(Hooks):
    """Answers everything, and remembers in what order."""

    personas = (
        Persona("user", "The model"),
        Persona("*relay", "Commands", present=False),
    )

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.server: Server | None = None

    def attach(self, server: ServerActions) -> None:
        self.server = server

    def motd(self) -> Sequence[str]:
        return ["/retry  Another reply", "x" * 500]

    async def joined(self, client: Client, channel: str) -> None:
        self.told.append(("joined", client.nick, channel))

    async def parted(self, client: Client, channel: str) -> None:
        self.told.append(("parted", client.nick, channel))

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        await self.gate.wait()
        self.told.append((kind, client.nick, target, text))
        assert text != "raise", "as expected"

    async def topic_changed(self, client: Client, channel: str, text: str) -> None:
        self.told.append(("topic", client.nick, channel, text))

    async def typing(self, client: Client, target: str, state: str) -> None:
        self.told.append(("typing", client.nick, target, state))

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        self.told.append((verb, tuple(params), raw))
        if verb == "SLOW":
            await self.gate.wait()
        if verb == "CANCEL":
            self.gate.set()
        return verb != "NO"

    async def topic(self, channel: str) -> Topic | None:
        return Topic("Sardines", "user", 1e9) if channel == "#saved" else None

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        past = [
            StoredMessage(1e9 + n, "anon" if n % 2 else "user", f"line {n}", msgid=f"id{n}")
            for n in range(5)
        ]
        past.append(StoredMessage(1e9 + 9, "system", "waves\nand smiles", "action"))
        return past[-limit:] if channel == "#saved" else ()

    async def list_channels(self) -> Sequence[StoredChannel]:
        return [StoredChannel("#saved", "Sardines", 7), StoredChannel("#open", "not now", 3)]

    async def whois(self, client: Client, nick: str) -> Whois | None:
        return Whois(["I sell sardines", "y" * 600], "A pirate", 5) if nick == "user" else None


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def home(serve: Serve, host: Host) -> Running:
    return serve(host)


def test_a_persona_is_there(home: Running, connect: Connect) -> None:
    play(
        connect(home, "anon", "bob"),
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


def test_it_is_told_what_happens_in_order(home: Running, host: Host, connect: Connect) -> None:
    wires = connect(home, "anon", "bob", caps="message-tags")
    wires["anon"].ask("JOIN #c", "TOPIC #c :Night", "PRIVMSG #c :hi", "NOTICE #c :psst")
    wires["anon"].ask("PRIVMSG #c :\x01ACTION waves\x01", "PRIVMSG #c :\x01VERSION\x01")
    wires["anon"].ask("PRIVMSG user :you", "PRIVMSG *relay :retry", "PRIVMSG bob :not yours")
    wires["anon"].ask("@+typing=active TAGMSG #c", "@+typing=done TAGMSG bob", "TOPIC #c :")
    wires["bob"].ask("JOIN #c")
    wires["anon"].ask("KICK #c bob", "PART #c", "JOIN #c")
    wires["anon"].send("QUIT")
    wires["anon"].rest()
    wait_for(lambda: host.told.count(("parted", "anon", "#c")) == 2)
    private = [entry for entry in host.told if entry[2] not in ("#c",)]
    assert private == [("privmsg", "anon", "user", "you"), ("privmsg", "anon", "*relay", "retry")]
    host.told.remove(("typing", "anon", "#c", "active"))
    assert [entry for entry in host.told if entry not in private] == [
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


def test_commands_that_only_it_knows(home: Running, host: Host, connect: Connect) -> None:
    wires = connect(home, "anon")
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
    assert [entry for entry in host.told if entry[0] != "joined"] == [
        ("RETRY", (), "retry"),
        ("DANCE", ("wildly", "in the moonlight"), "DANCE  wildly :in the moonlight"),
        ("NO", ("way",), "NO way"),
        ("KICK", ("#c", "user", "out"), "KICK #c user out"),
    ]


def test_nobody_waits_for_a_slow_one(home: Running, host: Host, connect: Connect) -> None:
    """Messages wait their turn; other channels, other clients and a CANCEL do not."""
    wires = connect(home, "anon", "bob")
    wires["anon"].ask("JOIN #a", "JOIN #b")
    wires["bob"].ask("JOIN #a")
    home.call(host.gate.clear)
    wires["anon"].ask(*(f"PRIVMSG #a :{n}" for n in range(5)), "TOPIC #a :later")
    wires["anon"].ask("SLOW", "TOPIC #b :now")
    wait_for(lambda: ("topic", "anon", "#b", "now") in host.told)
    assert len([line for line in wires["bob"].sync() if "PRIVMSG" in line]) == 5
    assert not [entry for entry in host.told if entry[0] == "privmsg"]
    home.call(host.gate.set)
    wait_for(lambda: ("topic", "anon", "#a", "later") in host.told)
    said = [entry[3] for entry in host.told if entry[0] == "privmsg"]
    assert said == ["0", "1", "2", "3", "4"]
    assert host.told[-1] == ("topic", "anon", "#a", "later")


def test_too_much_at_once_is_passed_over(serve: Serve, host: Host, connect: Connect) -> None:
    home = serve(host, limits=Limits(waiting=3))
    wire = connect(home, "anon")["anon"]
    wire.ask("JOIN #a")
    home.call(host.gate.clear)
    wire.ask("PRIVMSG #a :0")
    got = wire.ask(*(f"PRIVMSG #a :{n}" for n in range(1, 6)))
    assert numerics(got) == ["NOTICE", "NOTICE"]
    assert "wait for an answer" in got[0]
    home.call(host.gate.set)
    wait_for(lambda: ("privmsg", "anon", "#a", "3") in host.told)
    assert ("privmsg", "anon", "#a", "5") not in host.told


def test_what_it_raises_harms_nobody(home: Running, host: Host, connect: Connect) -> None:
    wire = connect(home, "anon")["anon"]
    wire.ask("JOIN #a", "PRIVMSG #a :raise", "PRIVMSG #a :fine")
    wait_for(lambda: ("privmsg", "anon", "#a", "fine") in host.told)


def test_what_it_raises_at_once_harms_nobody_either(serve: Serve, connect: Connect) -> None:
    class Broken(Host):
        def motd(self) -> Sequence[str]:
            raise ValueError("as expected")

        def leaving(self, client: Client, channel: str) -> None:
            raise ValueError("as expected")

    wire = connect(serve(Broken()), "anon")["anon"]
    assert numerics(wire.ask("JOIN #c", "PART #c")) == ["JOIN", "353", "366", "PART"]


def test_too_many_commands_at_once(serve: Serve, host: Host, connect: Connect) -> None:
    home = serve(host, limits=Limits(waiting=1, patience=0.01))
    wire = connect(home, "anon")["anon"]
    home.call(host.gate.clear)
    assert wire.ask("SLOW", "SLOW", "SLOW") == [
        ":relay.localhost 421 anon SLOW :Too many commands wait already"
    ]
    home.call(host.gate.set)


def test_a_saved_channel_comes_back(home: Running, connect: Connect) -> None:
    caps = "batch server-time message-tags"
    wires = connect(home, "anon", caps=caps)
    past = [
        f"@batch={{id}};time={server_time(1e9 + n)};msgid=id{n} :{{who}} PRIVMSG #saved :line {n}"
        for n in range(5)
    ]
    script = """
        anon> JOIN #saved
        anon< @time={time} :anon!anon@localhost JOIN #saved
        anon< :relay.localhost 332 anon #saved :Sardines
        anon< :relay.localhost 333 anon #saved user 1000000000
        anon< :relay.localhost 353 anon = #saved :user @anon
        anon< :relay.localhost 366 anon #saved :End of /NAMES list
        anon< :relay.localhost BATCH +{id} chathistory #saved
        """
    script += "\n".join(f"anon< {line}" for line in past)
    for text in ("waves", "and smiles"):
        script += (
            f"\nanon< @batch={{id}};time={server_time(1e9 + 9)} :system!system@relay.localhost "
        )
        script += f"PRIVMSG #saved :\x01ACTION {text}\x01"
    play(wires, script + "\nanon< :relay.localhost BATCH -{id}")


@pytest.mark.parametrize(
    ("caps", "shown"),
    [("", 0), ("batch", 0), ("server-time", 7), ("server-time batch draft/chathistory", 0)],
)
def test_who_is_shown_the_past(home: Running, connect: Connect, caps: str, shown: int) -> None:
    got = connect(home, "anon", caps=caps)["anon"].ask("JOIN #saved")
    assert numerics(got).count("PRIVMSG") == shown
    assert "BATCH" not in numerics(got)


STAMPS = [f"timestamp={server_time(1e9 + n)}" for n in range(10)]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("LATEST #saved * 2", ["line 4", "ACTION waves", "ACTION and smiles"]),
        ("latest #SAVED msgid=id3 1", ["ACTION waves", "ACTION and smiles"]),
        ("BEFORE #saved msgid=id3 2", ["line 1", "line 2"]),
        (f"BEFORE #saved {STAMPS[3]} 99", ["line 0", "line 1", "line 2"]),
        ("AFTER #saved msgid=id1 1", ["line 2"]),
        (f"AFTER #saved {STAMPS[2]} 2", ["line 3", "line 4"]),
        ("BEFORE #saved msgid=unknown 9", []),
        ("LATEST #elsewhere * 9", []),
        ("LATEST #saved * 0", []),
    ],
)
def test_asking_for_the_past(
    home: Running, connect: Connect, command: str, found: list[str]
) -> None:
    wire = connect(home, "anon", caps="draft/chathistory batch server-time")["anon"]
    wire.ask("JOIN #saved")
    got = wire.ask(f"CHATHISTORY {command}")
    assert numerics(got)[0] == numerics(got)[-1] == "BATCH"
    assert [line.split(" :")[-1].strip("\x01") for line in got[1:-1]] == found


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("", "INVALID_PARAMS * :Unknown command"),
        ("AROUND #saved * 2", "INVALID_PARAMS AROUND :Unknown command"),
        ("LATEST #saved *", "NEED_MORE_PARAMS LATEST :Missing parameters"),
        ("LATEST #saved * x", "INVALID_PARAMS LATEST #saved :Invalid limit"),
        ("BEFORE #saved * 2", "INVALID_PARAMS BEFORE #saved :Invalid point"),
        ("AFTER #saved timestamp=now 2", "INVALID_PARAMS AFTER #saved :Invalid point"),
        (
            "AFTER #saved timestamp=2026-99-99T00:00:00.000Z 2",
            "INVALID_PARAMS AFTER #saved :Invalid point",
        ),
    ],
)
def test_asking_wrongly(home: Running, connect: Connect, command: str, why: str) -> None:
    wire = connect(home, "anon")["anon"]
    wire.ask("JOIN #saved")
    assert wire.ask(f"CHATHISTORY {command}") == [f":relay.localhost FAIL CHATHISTORY {why}"]


def test_what_it_may_do(home: Running, host: Host, connect: Connect) -> None:
    wires = {**connect(home, "anon", caps="message-tags"), **connect(home, "bob")}
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["anon"].sync()
    server = home.server
    assert host.server is server
    home.call(server.typing, "#c", "active")
    home.call(server.say, "#C", "hello\x01\x00")
    home.call(server.say, "bob", "psst", "*relay")
    home.call(server.say, "#c", "in your name", "anon")
    home.call(server.say, "#c", "as a stranger", "a stranger!")
    home.call(server.set_topic, "#c", "Day\nbreak", "anon")
    home.call(server.set_topic, "#c", "")
    home.call(server.set_topic, "#nowhere", "x")
    home.call(server.inform, "#c", "* 5 tokens left")
    (client,) = (c for c in home.call(server.clients, "#c") if c.nick == "bob")
    assert home.call(server.clients, "#nowhere") == []
    wires["bob"].ask("NICK robert")
    home.call(server.say, client, "still you")
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


def test_the_greeting_is_its_own(home: Running, connect: Connect) -> None:
    motd = [line for line in connect(home, "anon")["anon"].ask("MOTD") if " 372 " in line]
    assert motd[0] == ":relay.localhost 372 anon :- /retry  Another reply"
    assert [len(line) for line in motd[1:]] == [409, 149]


def test_hooks_that_do_not_answer_are_not_waited_for(serve: Serve, connect: Connect) -> None:
    class Mute(Host):
        async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
            await asyncio.sleep(60)
            return ()

        async def list_channels(self) -> Sequence[StoredChannel]:
            raise OSError("as expected")

    wire = connect(serve(Mute(), limits=Limits(answer=0.2)), "anon")["anon"]
    assert numerics(wire.ask("JOIN #saved", "LIST"))[-2:] == ["322", "323"]


def test_two_join_at_once_while_it_thinks(serve: Serve, connect: Connect) -> None:
    class Slow(Host):
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


def test_leaving_while_it_thinks(serve: Serve, connect: Connect) -> None:
    entered = threading.Event()

    class Slow(Host):
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


def test_jobs_go_on_after_a_failure_and_end() -> None:
    done: list[int] = []

    async def job(number: int) -> None:
        if number == 1:
            raise ValueError("as expected")
        done.append(number)

    async def run() -> None:
        jobs = Jobs(10)
        for n in range(3):
            jobs.add("a", lambda n=n: job(n))  # type: ignore[misc]
        await asyncio.sleep(0.01)
        jobs.add("a", lambda: asyncio.sleep(60))
        await asyncio.sleep(0.01)
        await jobs.close()

    asyncio.run(run())
    assert done == [0, 2]
