"""What the people say to each other: within limits, and never instead of a human."""

from __future__ import annotations

import pytest
from bots import Gate, MakeBot, said
from fake import FakeEngine, FakeSeats
from wire import Connect, Serve, wait_for

from relay_gguf.conversation.company.person import Person

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do

CAST = (Person("kate", "a nurse"), Person("bob", "a pirate"))


def test_they_go_on_for_so_many_lines(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot(*["bob, kate?"] * 20, cast=CAST, chatter=3, breath=0.0)
    anon = connect(serve(bot), "anon")["anon"]
    anon.ask("JOIN #sea")
    for _ in range(2):
        anon.send("PRIVMSG #sea :kate: hello")
        nicks = [said(anon)[1:].partition("!")[0] for _ in range(4)]
        assert nicks == ["kate", "bob", "kate", "bob"]
    scene = bot._stage.scenes.find("#sea")
    assert scene is not None
    wait_for(lambda: scene.runs == 0)
    assert not scene.ensemble.goes_on
    assert anon.sync() == []


def test_a_human_goes_first(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    """What bob begins to say to kate is not said, since a human speaks meanwhile."""
    engine = FakeEngine(["bob?", "never heard", "sure"])
    gate = Gate(engine, token=4, reply=2)
    bot = make_bot(engine=engine, cast=CAST, chatter=2, breath=0.0)
    anon = connect(
        serve(bot),
        "anon",
    )["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :kate: hello")
    assert said(anon).endswith(":bob?")
    gate.wait()
    anon.send("PRIVMSG #sea :kate, tell me")
    wait_for(lambda: engine.is_cancelled)
    gate.open()
    assert said(anon).endswith("kate!kate@relay.localhost PRIVMSG #sea :sure")
    scene = bot._stage.scenes.find("#sea")
    assert scene is not None
    assert "never" not in str(scene.session.transcript)


def test_whoever_speaks_or_types_takes_their_breath(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    """They wait for a long breath; each sign of a human's makes them wait anew, or not speak."""
    bot = make_bot(*["bob?"] * 9, cast=CAST, breath=600.0)
    running = serve(bot)
    anon = connect(running, "anon", caps="message-tags")["anon"]
    anon.ask("JOIN #sea")
    breaths = bot._stage._breaths
    anon.send("PRIVMSG #sea :kate: hello")
    said(anon)
    wait_for(lambda: breaths._timers)
    timer = breaths._timers["#sea"]
    anon.send("@+typing=active TAGMSG #sea")
    wait_for(lambda: breaths._timers["#sea"] != timer)
    anon.ask("PRIVMSG #sea :\x01ACTION waves at nobody\x01")
    said(anon)
    wait_for(lambda: breaths._timers)
    anon.ask("PART #sea")
    wait_for(lambda: not breaths._timers)  # silence where nobody is


def test_in_an_empty_channel_nobody_speaks(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["bob?", "never heard"])
    gate = Gate(engine, token=4, reply=2)
    bot = make_bot(engine=engine, cast=CAST, breath=0.0)
    anon = connect(serve(bot), "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :kate: hello")
    said(anon)
    gate.wait()
    anon.ask("PART #sea")
    wait_for(lambda: engine.is_cancelled)
    gate.open()
    scene = bot._stage.scenes.find("#sea")
    assert scene is not None
    wait_for(lambda: scene.runs == 0)
    assert not scene.ensemble.goes_on
    assert len(engine.prompts) == 2


def test_two_who_are_asked_answer_at_the_same_time(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    seats = [FakeEngine(), FakeEngine(["from kate"]), FakeEngine(["from bob"])]
    gates = [Gate(seat) for seat in seats[1:]]
    bot = make_bot(engine=FakeSeats(*seats), slots=2, cast=CAST, chatter=0)
    anon = connect(serve(bot), "anon", caps="message-tags")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hi all of you")
    for gate in gates:
        gate.wait()
    gates[1].open()
    assert said(anon).endswith("PRIVMSG #sea :from bob")
    gates[0].open()
    assert said(anon).endswith("PRIVMSG #sea :from kate")
