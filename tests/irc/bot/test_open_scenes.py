"""How many scenes are open, and when one is closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bots import Gate, MakeBot, prompt, said
from fake import FakeEngine
from wire import Connect, Serve, Wire, wait_for

from relay_gguf.irc.bot.open_scenes import MOST_OPEN, OpenScenes
from relay_gguf.irc.bot.scene import session_name

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


def test_only_so_many_scenes_are_open_at_a_time(make_bot: MakeBot, tmp_path: Path) -> None:
    """Each keeps a file open: at 256 or 1024 files nobody else could connect."""

    async def run() -> None:
        scenes = OpenScenes(make_bot().config, lambda place: True)
        used = []
        for n in range(3 * MOST_OPEN):
            scene = scenes.get(f"#c{n}", pytest.fail)
            assert scene is not None
            for _ in scene.set_topic(f"topic {n}"):
                pass
            used.append(scene)
        opened = [n for n in range(len(used)) if scenes.find(f"#c{n}") is not None]
        assert opened == list(range(2 * MOST_OPEN, 3 * MOST_OPEN))
        first = scenes.get("#c0", pytest.fail)
        assert first is not None
        assert first is not used[0]
        assert first.topic == "topic 0"
        scenes.close()

    asyncio.run(run())


def test_a_secret_channel_stays_so_while_nobody_is_in_it(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    first = make_bot()
    running = serve(first)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea,#lake", "MODE #SEA +s", "MODE #lake +s", "MODE #lake -s")
    anon.ask("TOPIC #sea :boats", "TOPIC #lake :reeds")
    wait_for(lambda: len(list((tmp_path / "irc").glob("*.jsonl"))) == 2)
    anon.ask("PART #sea,#lake")
    assert listed(anon) == {"#lake"}
    running.stop()
    first.close()
    again = connect(serve(make_bot()), "anon")["anon"]
    assert listed(again) == {"#lake"}
    assert any(" 353 anon @ #sea " in line for line in again.ask("JOIN #sea"))
    again.ask("MODE #sea -s", "PART #sea")
    assert listed(again) == {"#lake", "#sea"}


def listed(wire: Wire) -> set[str]:
    """The channels that LIST names."""
    return {line.split()[3] for line in wire.ask("LIST") if " 322 " in line}


def test_a_channel_that_everybody_left_is_closed_and_opened_again(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("one", "two", keep=0.01)
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea", "TOPIC #sea :boats")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    assert bot._stage.scenes.find("#sea") is not None
    anon.send("QUIT")
    anon.rest()
    wait_for(lambda: bot._stage.scenes.find("#sea") is None)
    again = connect(running, "anon")["anon"]
    assert any(" 332 anon #sea :boats" in line for line in again.ask("JOIN #sea"))
    again.send("PRIVMSG #sea :second")
    said(again)
    assert "|anon\nfirst||user\none||anon\nsecond||user\n" in prompt(bot)


def test_a_private_talk_is_closed_when_nothing_is_said(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("one", "two", keep=0.01)
    anon = connect(serve(bot), "anon")["anon"]
    anon.send("PRIVMSG user :first")
    said(anon)
    wait_for(lambda: bot._stage.scenes.find("anon") is None)
    anon.send("PRIVMSG user :second")
    said(anon)
    assert "first" in prompt(bot)


def test_a_scene_that_writes_is_not_closed(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 50])
    gate = Gate(engine)
    bot = make_bot(engine=engine, keep=0.01)
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.send("PRIVMSG user :first")
    gate.wait()
    scene = bot._stage.scenes.find("anon")
    running.call(bot._stage.scenes._close_unused, "anon")
    assert bot._stage.scenes.find("anon") is scene
    gate.open()
    assert said(anon).endswith("x" * 50)


def test_a_scene_that_could_not_be_saved_is_not_closed(make_bot: MakeBot, tmp_path: Path) -> None:
    async def run() -> None:
        scenes = OpenScenes(make_bot().config, lambda place: False)
        (tmp_path / "irc").touch()  # a file, where the folder is to be
        scene = scenes.get("#sea", pytest.fail)
        assert scene is not None
        list(scene.set_topic("boats"))
        scenes._close_unused("#sea")
        assert scenes.find("#sea") is scene
        (tmp_path / "irc").unlink()
        list(scene.set_topic("fish"))
        scenes._close_unused("#sea")
        assert scenes.find("#sea") is None
        again = scenes.get("#sea", pytest.fail)
        assert again is not None
        assert again.topic == "fish"
        scenes.close()

    asyncio.run(run())


@pytest.mark.parametrize(("one", "other"), [("ÉVA", "éVA"), ("#ÉTÉ", "#été")])
def test_names_that_differ_in_the_case_of_a_letter_beyond_ascii_have_their_own_files(
    one: str, other: str
) -> None:
    assert session_name(one) != session_name(other)


def test_a_name_that_was_saved_before_is_found_again() -> None:
    assert session_name("#été") == "channel t 238e6254e9d860e3"


def test_two_people_of_nearly_the_same_nick_do_not_read_each_other(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("i keep it", "hi", keep=0.01)
    wires = connect(serve(bot), "ÉVA", "éVA")
    wires["ÉVA"].send("PRIVMSG user :my secret is 42")
    said(wires["ÉVA"])
    wait_for(lambda: bot._stage.scenes.find("ÉVA") is None)
    wires["éVA"].send("PRIVMSG user :what did I say?")
    assert said(wires["éVA"]).endswith(":hi")
    assert "42" not in prompt(bot)
