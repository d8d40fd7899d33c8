"""Each channel is a scene: saved under its name, taken up again, begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from bots import Gate, MakeBot, prompt, said
from fake import FakeEngine
from wire import Connect, Serve

from relay_gguf.conversation.session_files import session_path
from relay_gguf.irc.bot.scene import session_name

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


def test_a_scene_goes_on_after_a_restart(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    first = make_bot("hi")
    running = serve(first)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea", "TOPIC #sea :boats")
    anon.send("PRIVMSG #sea :ahoy")
    said(anon)
    running.stop()
    first.close()

    second = make_bot("still here")
    again = serve(second)
    bob = connect(again, "bob", caps="server-time batch message-tags")["bob"]
    lines = bob.ask("JOIN #sea")
    assert any(" 332 bob #sea :boats" in line for line in lines)
    (begin,) = [n for n, line in enumerate(lines) if "chathistory #sea" in line]
    past = [line.partition("PRIVMSG ")[2] for line in lines[begin:] if "PRIVMSG" in line]
    assert past == ["#sea :ahoy", "#sea :hi"]
    assert all("@" in line and "time=" in line for line in lines[begin + 1 : begin + 3])
    bob.send("PRIVMSG #sea :there?")
    assert said(bob).endswith(":still here")
    assert "|anon\nahoy||user\nhi||anon\nthere?||user\n" in prompt(second)
    assert any(" 322 bob #sea " in line for line in bob.ask("LIST"))


def test_a_cycle_begins_anew(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot("one", "two")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    anon.ask("PART #sea", "JOIN #sea")
    anon.send("PRIVMSG #sea :second")
    said(anon)
    assert "first" not in prompt(bot)


def test_a_cycle_in_the_middle_of_a_reply_begins_anew(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 100, "two"])
    gate = Gate(engine)
    bot = make_bot(engine=engine)
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    gate.wait()
    anon.ask("PART #sea", "JOIN #sea")  # they are back before the reply has ended
    gate.open()
    said(anon, "begins anew")
    anon.send("PRIVMSG #sea :second")
    assert said(anon).endswith(":two")
    assert "first" not in prompt(bot)


def test_a_cycle_does_not_count_the_time_of_another_channels_reply(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    """One engine: who waits for another channel's reply is not slow to come back."""
    now = 0.0
    engine = FakeEngine(["one", "x" * 100])
    gate = Gate(engine, reply=2)
    wires = connect(serve(make_bot(engine=engine, clock=lambda: now)), "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    bob.ask("JOIN #land")
    bob.send("PRIVMSG #land :hello")
    gate.wait()
    anon.send("TOPIC #sea :fish")
    anon.ask("PART #sea", "JOIN #sea")
    now = 100.0
    gate.open()
    said(anon, "begins anew")


def test_a_whois_shows_the_bio_of_the_scene_where_the_client_is(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    wires = connect(serve(make_bot()), "anon", "bob", "eve")
    wires["anon"].ask("JOIN #sea", "CAST I am a sailor")
    said(wires["anon"], "bio")
    wires["bob"].ask("JOIN #land", "CAST I am a shepherd")
    said(wires["bob"], "bio")
    bios = {
        nick: [line.rpartition("bio: ")[2] for line in wire.ask("WHOIS user") if "bio: " in line]
        for nick, wire in wires.items()
    }
    assert bios == {"anon": ["I am a sailor"], "bob": ["I am a shepherd"], "eve": []}


def test_nobody_else_can_read_a_private_talk(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    running = serve(make_bot("i keep it", "hi"))
    wires = connect(running, "bob", "eve")
    wires["bob"].send("PRIVMSG user :my secret is 42")
    said(wires["bob"])
    (file,) = (tmp_path / "irc").iterdir()
    assert " 322 " not in "".join(wires["eve"].ask("LIST"))
    lines = wires["eve"].ask(f"JOIN #{file.stem.replace(' ', '-')}")
    assert not [line for line in lines if "42" in line or "another relay-gguf" in line]


def test_a_scene_is_saved_under_its_name_from_its_first_line_on(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    engine = FakeEngine(["x" * 50])
    gate = Gate(engine, token=1)
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :ahoy")
    gate.wait()
    assert [path.name for path in (tmp_path / "irc").iterdir()] == ["sea.jsonl"]
    assert "ahoy" in (tmp_path / "irc" / "sea.jsonl").read_text()
    gate.open()
    said(anon)


def test_a_removed_topic_stays_removed(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot("one")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    bob = connect(running, "bob")["bob"]
    anon.ask("JOIN #sea", "TOPIC #sea :fish", "TOPIC #sea :")
    anon.send("PRIVMSG #sea :hello")
    said(anon)
    anon.ask("PART #sea")
    assert not [line for line in bob.ask("JOIN #sea") if " 332 " in line]


def test_a_client_that_lost_the_connection_finds_the_scene_again(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("one", "two")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    anon.send("QUIT")
    anon.rest()
    again = connect(running, "anon")["anon"]
    again.ask("JOIN #sea")
    again.send("PRIVMSG #sea :second")
    said(again)
    assert "first" in prompt(bot)


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("#boston", "boston"),
        ("#a.b-c_1", "a.b-c_1"),
        ("anon", "private anon "),
        ("##", "channel "),
        ("#../../etc", "channel etc "),
        ("#été", "channel t "),
        ("#" + "x" * 63, f"channel {'x' * 30} "),
        ("#20261122-120000", "channel 20261122-120000 "),
    ],
)
def test_a_channel_is_saved_under_its_name_if_a_file_can_have_it(channel: str, name: str) -> None:
    found = session_name(channel)
    assert found == name or (name.endswith(" ") and found.startswith(name))
    assert session_path(Path(), found)
    assert "/" not in found
    assert len(found) <= 60
