"""The bot: what it answers, when, and what stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bots import Gate, MakeBot, prompt, said
from fake import FakeEngine
from wire import Connect, Serve, wait_for

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


def test_a_conversation_with_topic_and_bio(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("hi! lisbon, you?", "arr")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    joined = anon.ask("JOIN #lisbon")
    assert ":relay.localhost 353 anon = #lisbon :user @anon" in joined
    anon.send("PRIVMSG #lisbon :where are you from?")
    assert said(anon) == ":user!user@relay.localhost PRIVMSG #lisbon :hi! lisbon, you?"
    assert prompt(bot) == (
        "|anon\n/join #lisbon|"
        "|system\n* Now talking in #lisbon|"
        "|system\n* user has joined #lisbon|"
        "|anon\nwhere are you from?|"
        "|user\n"
    )
    anon.send("TOPIC #lisbon :boats", "CAST I'm a pirate")
    assert said(anon, "TOPIC").endswith("TOPIC #lisbon :boats")
    assert said(anon, "bio").endswith("NOTICE #lisbon :user's bio: I'm a pirate")
    anon.send("PRIVMSG #lisbon :user: who are you?")
    assert said(anon).endswith(":arr")
    assert prompt(bot).endswith(
        "|user\nhi! lisbon, you?|"
        "|anon\n/topic boats||system\n* Topic for #lisbon is: boats|"
        "|anon\n/whois user||system\n* user's bio: I'm a pirate|"
        "|anon\nwho are you?||user\n"
    )
    whois = anon.ask("WHOIS user")
    assert any("bio: I'm a pirate" in line for line in whois)
    assert any(" 317 " in line for line in whois), "its idle time"


def test_actions_and_made_up_commands_are_answered(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("ouch", "nice moves", "waves back", "ow")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("SLAP")
    assert said(anon).endswith(
        "PRIVMSG #sea :\x01ACTION slaps user around a bit with a large trout\x01"
    )
    assert said(anon).endswith(":ouch")
    assert "* anon slaps user around a bit with a large trout" in prompt(bot)
    anon.send("dance wildly")
    assert said(anon, "used").endswith("NOTICE #sea :anon used /dance wildly")
    assert said(anon).endswith(":nice moves")
    anon.send("PRIVMSG #sea :\x01ACTION waves\x01")
    assert said(anon).endswith(":waves back")
    assert "|anon\n/me waves||system\n* anon used /me waves|" in prompt(bot)
    anon.send("PRIVMSG #sea :\x01ACTION slaps user around a bit with a large trout\x01")
    assert said(anon).endswith(":ow")
    assert prompt(bot).count("a large trout") == 2
    assert any(" 421 " in line for line in anon.ask("LINKS")), "IRC's own are not for it"


def test_lazy_speaks_for_its_human(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    running = serve(make_bot("any fish today?", "plenty"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("LAZY")
    assert said(anon) == ":anon!anon@localhost PRIVMSG #sea :any fish today?"
    assert said(anon).endswith(":plenty")


def test_a_private_talk_is_a_scene_of_its_own(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("in public", "psst")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello all")
    said(anon)
    anon.send("PRIVMSG user :a secret")
    assert said(anon) == ":user!user@relay.localhost PRIVMSG anon :psst"
    assert "hello all" not in prompt(bot)


def test_a_reply_of_several_lines_is_several_messages(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("one\ntwo", "word " * 24))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert [said(anon)[-4:] for _ in range(2)] == [":one", ":two"]


def test_the_model_can_have_another_nick(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot("yes, it is me", nick="mia")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    assert any("mia @anon" in line for line in anon.ask("JOIN #sea"))
    anon.send("PRIVMSG #sea :mia: is it you?")
    assert said(anon).startswith(":mia!mia@")
    assert prompt(bot).endswith("|anon\nis it you?||user\n"), "the context keeps Relay's roles"


def test_among_several_the_model_answers_when_named(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("yes?", reply="mention")
    running = serve(bot)
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    bob.ask("JOIN #sea")
    anon.ask("PRIVMSG #sea :hello bob")
    bob.send("PRIVMSG #sea :user: are you there?")
    assert said(bob, "PRIVMSG.*yes").endswith(":yes?")
    assert said(anon, "PRIVMSG.*yes").endswith(":yes?")
    assert prompt(bot).endswith("|anon\nanon: hello bob||anon\nbob: are you there?||user\n")


def test_among_several_the_model_answers_after_a_pause(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("well", pause=0.5)
    running = serve(bot)
    wires = connect(running, "anon", "bob")
    for wire in wires.values():
        wire.ask("JOIN #sea")
    wires["anon"].send("PRIVMSG #sea :nice weather", "PRIVMSG #sea :is it not")
    assert said(wires["bob"], "PRIVMSG.*well").endswith(":well")
    assert prompt(bot).endswith("anon: nice weather||anon\nanon: is it not||user\n")
    engine: Any = bot.config.engine
    assert len(engine.prompts) == 1


def test_messages_during_a_reply_are_answered_in_order(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("one", "two", "three")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send(*(f"PRIVMSG #sea :{word}" for word in ("a", "b", "c")))
    assert [said(anon)[-3:] for _ in range(3)] == ["one", "two", "ree"]
    assert prompt(bot).endswith("|anon\nb||user\ntwo||anon\nc||user\n")


@pytest.mark.parametrize("end", ["CANCEL", "PART #sea", "QUIT"])
def test_cancel_part_and_quit_stop_a_reply(
    end: str, serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 100])
    gate = Gate(engine)
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon", caps="message-tags")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert "+typing=active" in said(anon, "TAGMSG")
    gate.wait()
    anon.send(end)
    wait_for(lambda: engine._cancelled)
    gate.open()
    if end == "CANCEL":
        assert "+typing=done" in said(anon, "TAGMSG")
        assert said(anon, "PRIVMSG").endswith(" #sea :xx")
        assert "cut (stopped)" in said(anon, "cut")


@pytest.mark.parametrize("order", ["PRIVMSG #sea :!cancel", "CANCEL", "PRIVMSG *relay :stop"])
def test_cancel_drops_the_messages_that_wait_in_the_same_channel(
    order: str, serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 100, "for bob"])
    gate = Gate(engine)
    running = serve(make_bot(engine=engine))
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    bob.ask("JOIN #land")
    anon.send("PRIVMSG #sea :one", "PRIVMSG #sea :two", "PRIVMSG #sea :three")
    gate.wait()
    bob.ask("CANCEL")
    assert not engine._cancelled, "bob's scene is another one"
    bob.send("PRIVMSG #land :hello")
    anon.ask()
    anon.send(order)
    wait_for(lambda: engine._cancelled)
    gate.open()
    assert said(bob).endswith(":for bob")
    assert len(engine.prompts) == 2, "neither two nor three was answered"


def test_cancel_stops_a_reply_in_a_private_talk(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 100])
    gate = Gate(engine)
    anon = connect(serve(make_bot(engine=engine)), "anon")["anon"]
    anon.send("PRIVMSG user :hello")
    gate.wait()
    anon.send("PRIVMSG user :!cancel")
    wait_for(lambda: engine._cancelled)
    gate.open()
    assert said(anon) == ":user!user@relay.localhost PRIVMSG anon :xx"


def test_a_private_talk_is_answered_after_a_pause_too(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    anon = connect(serve(make_bot("well", reply="pause", pause=0.1)), "anon")["anon"]
    anon.send("PRIVMSG user :nice weather")
    assert said(anon) == ":user!user@relay.localhost PRIVMSG anon :well"


def test_a_server_that_stops_saves_the_reply_so_far(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    engine = FakeEngine(["half a reply"])
    gate = Gate(engine, token=5)
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    gate.wait()
    running.begin_to_stop()
    wait_for(lambda: engine._cancelled)
    gate.open()
    running.stop()
    assert '"half' in (tmp_path / "irc" / "sea.jsonl").read_text()
