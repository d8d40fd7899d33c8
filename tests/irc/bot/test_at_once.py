"""Channels and private talks are answered at the same time, each one's lines in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from bots import Gate, MakeBot, said
from fake import FakeEngine, FakeSeats
from wire import Connect, Serve, wait_for

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


def test_a_channel_does_not_wait_for_anothers_reply(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    sea, land = FakeEngine(["one", "two"]), FakeEngine(["from land"])
    gate = Gate(sea)
    running = serve(make_bot(engine=FakeSeats(sea, land), slots=2))
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first", "PRIVMSG #sea :second")
    gate.wait()
    bob.send("PRIVMSG user :hello")
    assert said(bob).endswith(":from land")
    assert len(sea.prompts) == 1, "what was said meanwhile waits"
    gate.open()
    assert [said(anon).rpartition(":")[2] for _ in range(2)] == ["one", "two"]


def test_with_one_slot_scenes_take_turns(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    sea, land = FakeEngine(["one"]), FakeEngine(["two"])
    gate = Gate(sea)
    wires = connect(serve(make_bot(engine=FakeSeats(sea, land), slots=1)), "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    gate.wait()
    bob.ask("PRIVMSG user :hello")
    assert not land.prompts
    gate.open()
    assert said(bob).endswith(":two")


def test_a_cancel_ends_the_reply_of_its_own_channel_alone(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engines = [FakeEngine(["x" * 20]), FakeEngine(["y" * 20])]
    gates = [Gate(engine) for engine in engines]
    wires = connect(serve(make_bot(engine=FakeSeats(*engines), slots=2)), "anon", "bob")
    for wire, channel, gate in zip(wires.values(), ("#sea", "#land"), gates, strict=True):
        wire.ask(f"JOIN {channel}")
        wire.send(f"PRIVMSG {channel} :hello")
        gate.wait()
    wires["anon"].send("PRIVMSG #sea :!cancel")
    wait_for(lambda: engines[0].is_cancelled)
    assert not engines[1].is_cancelled
    for gate in gates:
        gate.open()
    assert said(wires["anon"]).endswith(" :xx")
    assert said(wires["bob"]).endswith(" :" + "y" * 20)


def test_a_private_talk_that_passes_with_its_nick_is_not_run_twice_at_once(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["for the first", "for the second"])
    gate = Gate(engine)
    bot = make_bot(engine=FakeSeats(engine), slots=4)
    wires = connect(serve(bot), "bob", "eve")
    first, second = wires["bob"], wires["eve"]
    first.send("PRIVMSG user :hello")
    gate.wait()
    first.ask("NICK rob")
    second.ask("NICK bob", "PRIVMSG user :me too")
    scene = bot._stage.scenes.find("bob")
    assert scene is not None
    wait_for(lambda: scene.runs == 2)
    assert len(engine.prompts) == 1
    gate.open()
    assert said(first).endswith(":for the first")
    assert said(second).endswith(":for the second")


def test_a_server_that_stops_saves_all_replies_so_far(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    engines = [FakeEngine([f"{n} half a reply"]) for n in range(3)]
    gates = [Gate(engine, token=7) for engine in engines]
    running = serve(make_bot(engine=FakeSeats(*engines), slots=3))
    anon = connect(running, "anon")["anon"]
    for n, gate in enumerate(gates):
        anon.ask(f"JOIN #c{n}")
        anon.send(f"PRIVMSG #c{n} :hello")
        gate.wait()
    running.begin_to_stop()
    wait_for(lambda: all(engine.is_cancelled for engine in engines))
    for gate in gates:
        gate.open()
    running.stop()
    for n in range(3):
        assert f'"{n} half"' in (tmp_path / "irc" / f"c{n}.jsonl").read_text()
