"""The history of a channel: shown on a join, and asked for with CHATHISTORY."""

from __future__ import annotations

import re
import time

import pytest
from recording import RecordingHooks
from wire import Connect, Running, Serve, numerics, play

from relay_gguf.irc.network.network import server_time


@pytest.fixture
def hooks() -> RecordingHooks:
    return RecordingHooks()


@pytest.fixture
def running(serve: Serve, hooks: RecordingHooks) -> Running:
    """A server with these hooks."""
    return serve(hooks)


def test_a_saved_channel_has_its_topic_and_history_on_a_join(
    running: Running, connect: Connect
) -> None:
    caps = "batch server-time message-tags"
    wires = connect(running, "anon", caps=caps)
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
    [("", 7), ("batch", 7), ("server-time", 7), ("server-time batch draft/chathistory", 0)],
)
def test_history_is_shown_on_a_join_with_what_the_client_has_for_it(
    running: Running, connect: Connect, caps: str, shown: int
) -> None:
    got = connect(running, "anon", caps=caps)["anon"].ask("JOIN #saved")
    assert numerics(got).count("PRIVMSG") == shown
    assert numerics(got).count("NOTICE") == (2 if shown and caps != "batch" else 0)
    assert numerics(got).count("BATCH") == (2 if caps == "batch" else 0)
    stamped = [
        line for line in got if "PRIVMSG" in line and re.search(r"\[\d\d:\d\d:\d\d\] ", line)
    ]
    assert len(stamped) == (0 if "server-time" in caps else shown)


def test_history_without_server_time_has_the_time_in_the_line(
    running: Running, connect: Connect
) -> None:
    got = connect(running, "anon")["anon"].ask("JOIN #saved")
    first, last = (time.strftime("%H:%M:%S", time.localtime(1e9 + n)) for n in (0, 9))
    assert got[-9:-6] == [
        ":relay.localhost NOTICE #saved :Playback of #saved: 6 messages",
        f":user!user@relay.localhost PRIVMSG #saved :[{first}] line 0",
        got[-7],
    ]
    assert got[-3:] == [
        f":system!system@relay.localhost PRIVMSG #saved :\x01ACTION [{last}] waves\x01",
        f":system!system@relay.localhost PRIVMSG #saved :\x01ACTION [{last}] and smiles\x01",
        ":relay.localhost NOTICE #saved :End of the playback",
    ]


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
def test_chathistory_selects_messages(
    running: Running, connect: Connect, command: str, found: list[str]
) -> None:
    wire = connect(running, "anon", caps="draft/chathistory batch server-time")["anon"]
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
def test_a_chathistory_that_cannot_be_read_fails(
    running: Running, connect: Connect, command: str, why: str
) -> None:
    wire = connect(running, "anon")["anon"]
    wire.ask("JOIN #saved")
    assert wire.ask(f"CHATHISTORY {command}") == [f":relay.localhost FAIL CHATHISTORY {why}"]
