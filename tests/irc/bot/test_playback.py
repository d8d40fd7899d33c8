"""A channel's history: who said what, as it was sent."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bots import MakeBot, said
from wire import Connect, Serve, Wire

from relay_gguf.irc.bot.playback import _BLOCK, Playback
from relay_gguf.irc.network.hooks import StoredMessage

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do

CAPS = "server-time batch message-tags"


def messages(lines: list[str]) -> list[str]:
    """Source, target and text of the messages among lines."""
    return [line.partition(" :")[2] for line in lines if " PRIVMSG " in line]


def talk(anon: Wire) -> None:
    """Join, send an action, a line and an order; change the nick; say something more."""
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :\x01ACTION waves\x01")
    said(anon, ":user!")
    anon.ask("PRIVMSG #sea :!nonsense", "PRIVMSG #sea :bob: \x02bold\x02")
    said(anon, ":user!")
    anon.ask("NICK eve", "PRIVMSG #sea :now eve")
    said(anon, ":user!")


def test_the_history_tells_who_said_what(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    running = serve(make_bot("one", "two", "three", "four", reply="always"))
    wires = connect(running, "bob", caps=CAPS)
    anon = connect(running, "anon")["anon"]
    talk(anon)
    connect(running, "anon")  # somebody else, under a nick that old lines have
    past = messages(wires["bob"].ask("JOIN #sea"))
    assert [text for text in past if not text.startswith("user!")] == [
        "anon!anon@localhost PRIVMSG #sea :\x01ACTION waves\x01",
        "anon!anon@localhost PRIVMSG #sea :!nonsense",
        "anon!anon@localhost PRIVMSG #sea :bob: \x02bold\x02",
        "eve!anon@localhost PRIVMSG #sea :now eve",
    ]
    assert past[1] == "user!user@relay.localhost PRIVMSG #sea :one"


def test_the_ids_of_messages_are_kept_across_a_restart(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    first = make_bot("hi")
    running = serve(first)
    anon = connect(running, "anon", caps=f"{CAPS} echo-message")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :ahoy")
    live = [re.findall(r"(time|msgid)=([^; ]+)", anon.until("PRIVMSG")[-1]) for _ in range(2)]
    assert len(dict(live[0])["msgid"]) > 4
    running.stop()
    first.close()
    bob = connect(serve(make_bot()), "bob", caps=CAPS)["bob"]
    again = [line for line in bob.ask("JOIN #sea") if "PRIVMSG" in line]
    assert [sorted(re.findall(r"(time|msgid)=([^; ]+)", line)) for line in again] == [
        sorted(pairs) for pairs in live
    ]


def test_a_client_without_batches_is_told_what_is_playback(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("hi"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :ahoy")
    said(anon)
    bob = connect(running, "bob", caps="server-time")["bob"]
    shown = [line.split(" ", 1)[1] for line in bob.ask("JOIN #sea") if "#sea :" in line][-4:]
    assert shown == [
        "NOTICE #sea :Playback of #sea: 2 messages",
        ":anon!anon@localhost PRIVMSG #sea :ahoy",
        ":user!user@relay.localhost PRIVMSG #sea :hi",
        "NOTICE #sea :End of the playback",
    ]


def test_after_a_cycle_the_discarded_scene_is_not_replayed(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("one", "two"))
    anon = connect(running, "anon", caps=CAPS)["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    anon.send("PART #sea", "JOIN #sea")
    assert messages(anon.until("begins anew")) == []
    anon.send("PRIVMSG #sea :second")
    said(anon)
    bob = connect(running, "bob", caps=CAPS)["bob"]
    assert [text.rpartition(":")[2] for text in messages(bob.ask("JOIN #sea"))] == ["second", "two"]


def test_a_scene_of_an_earlier_version_still_has_a_history(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    first = make_bot("hi", "two")
    running = serve(first)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :ahoy")
    said(anon)
    shutil.rmtree(tmp_path / "irc-channels")
    anon.send("PRIVMSG #sea :again")
    said(anon)
    bob = connect(running, "bob", caps=CAPS)["bob"]
    past = [text.rpartition(":")[2] for text in messages(bob.ask("JOIN #sea"))]
    assert past == ["ahoy", "hi", "again", "two"]


def test_what_a_server_says_for_the_moment_is_not_kept(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot())
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea", "PRIVMSG #sea :!continue", "NOTICE #sea :\x01PING 1\x01")
    bob = connect(running, "bob", caps=CAPS)["bob"]
    lines = bob.ask("JOIN #sea")
    assert messages(lines) == ["anon!anon@localhost PRIVMSG #sea :!continue"]


def test_a_long_history_is_read_from_its_end(tmp_path: Path) -> None:
    playback = Playback(tmp_path / "irc")
    for n in range(3):
        playback.add("#Sea", StoredMessage(n, "anon", str(n) * _BLOCK, msgid=f"id{n}"))
    with (tmp_path / "irc-channels" / "sea.jsonl").open("a") as file:
        file.write('{"time": 4, "ni')  # killed while writing
    found = playback.last("#sea", 2, older=lambda n: ())
    assert [message.msgid for message in found] == ["id1", "id2"]
    assert found[1].text == "2" * _BLOCK
    assert (tmp_path / "irc-channels").stat().st_mode & 0o77 == 0
