"""The model on a network: channels are scenes, topics topics, a whois the bio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake import FakeEngine
from wire import Connect, Serve, Wire, wait_for

from relay_gguf import SamplingParams
from relay_gguf.conversation.store import session_path
from relay_gguf.irc.bot.bot import Bot
from relay_gguf.irc.bot.bot_config import BotConfig
from relay_gguf.irc.bot.channel_log import ChannelLog
from relay_gguf.irc.bot.orders import Order, act, aliases, parse_order, parse_prefixed, parse_raw
from relay_gguf.irc.bot.scene import session_name

MakeBot = Callable[..., Bot]
pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before it


@pytest.fixture
def make_bot(tmp_path: Path) -> Iterator[MakeBot]:
    """Bots by what their model will say, one reply after another; they are closed in the end."""
    made: list[Bot] = []

    def make(*replies: str, **options: Any) -> Bot:
        engine = options.pop("engine", None) or FakeEngine(replies)
        log, clock = options.pop("log", None), options.pop("clock", time.monotonic)
        config = BotConfig(
            engine, SamplingParams(seed=1), tmp_path / "irc", exports=tmp_path, **options
        )
        made.append(Bot(config, log, clock=clock))
        return made[-1]

    yield make
    for bot in made:
        bot.close()


def prompt(bot: Bot) -> str:
    """What the model was shown last, without its control tokens."""
    engine: Any = bot.config.engine
    text = bytes(b if b < 256 else 0x7C for b in engine.prompts[-1]).decode()
    return text.removeprefix("|").replace("|\n", "|")


def said(wire: Wire, pattern: str = "PRIVMSG") -> str:
    """The next line that has a pattern."""
    return wire.until(pattern)[-1]


def test_a_conversation(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
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


@pytest.mark.parametrize("way", ["RETRY", "PRIVMSG *relay :retry", "PRIVMSG #sea :!retry"])
def test_an_order_comes_in_three_ways(
    way: str, serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("first", "second"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert said(anon).endswith(":first")
    anon.send(way)
    assert said(anon, "NOTICE").endswith(
        "NOTICE #sea :user's reply is replaced (2/2), !prev brings it back:"
    )
    assert said(anon).endswith(":second")
    anon.send("PREV")
    assert said(anon).endswith(":first")


def test_every_order_that_does_not_generate(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    running = serve(make_bot("hello"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hi")
    said(anon)
    anon.send("UNDO")
    assert said(anon, "Took back").endswith(":Took back: hi")
    assert said(anon, "draft").endswith("NOTICE anon :draft: hi")
    anon.send("UNDO", "CONTEXT")
    said(anon, "Nothing to undo")
    said(anon, "tokens")
    anon.send("EXPORT txt")
    assert "saved conversation to" in said(anon, "saved")
    assert len(list(tmp_path.glob("relay-sea-*.txt"))) == 1
    anon.send("HELP")
    said(anon, "CANCEL")
    anon.send("CYCLE")
    assert said(anon, "anew").endswith(":The scene begins anew.")
    anon.send("NEXT")
    assert "one reply at most" in said(anon, "NOTICE")


def test_actions_and_made_up_commands(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
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
    assert any(" 421 " in line for line in anon.ask("WALLOPS :x")), "IRC's own are not for it"


def test_lazy_speaks_for_its_human(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    running = serve(make_bot("any fish today?", "plenty"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("LAZY")
    assert said(anon) == ":anon!anon@localhost PRIVMSG #sea :any fish today?"
    assert said(anon).endswith(":plenty")


def test_a_scene_is_there_again(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
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
    speaks, go_on = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 3 and not speaks.is_set():
            speaks.set()
            assert go_on.wait(10)

    engine.on_token = wait
    bot = make_bot(engine=engine)
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    assert speaks.wait(10)
    anon.ask("PART #sea", "JOIN #sea")  # they are back before the reply has ended
    go_on.set()
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
    speaks, go_on = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if len(engine.prompts) == 2 and count == 3:
            speaks.set()
            assert go_on.wait(10)

    engine.on_token = wait
    wires = connect(serve(make_bot(engine=engine, clock=lambda: now)), "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :first")
    said(anon)
    bob.ask("JOIN #land")
    bob.send("PRIVMSG #land :hello")
    assert speaks.wait(10)
    anon.send("TOPIC #sea :fish")
    anon.ask("PART #sea", "JOIN #sea")
    now = 100.0
    go_on.set()
    said(anon, "begins anew")


@pytest.mark.parametrize("order", ["UNDO #sea", "PRIVMSG *relay :undo #SEA", "UNDO :#sea"])
def test_an_order_is_meant_for_the_channel_that_it_names(
    order: str, serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    """As an alias does that is typed in the window of another channel than the last."""
    anon = connect(serve(make_bot("one", "two")), "anon")["anon"]
    anon.ask("JOIN #sea,#land")
    for channel in ("#sea", "#land"):
        anon.send(f"PRIVMSG {channel} :hello {channel[1:]}")
        said(anon)
    anon.send(order)
    assert said(anon, "Took back").endswith("NOTICE #sea :Took back: hello sea")
    anon.send("UNDO #nowhere")
    assert said(anon, "Took back").endswith("NOTICE #land :Took back: hello land")


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


def test_a_bio_is_that_of_the_scene_where_one_is(
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


def test_a_private_talk_is_nobody_elses(
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


def test_a_scene_has_its_name_from_its_first_line_on(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    engine = FakeEngine(["x" * 50])
    begun, go_on = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        begun.set()
        assert go_on.wait(10)

    engine.on_token = wait
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :ahoy")
    assert begun.wait(10)
    assert [path.name for path in (tmp_path / "irc").iterdir()] == ["sea.jsonl"]
    assert "ahoy" in (tmp_path / "irc" / "sea.jsonl").read_text()
    go_on.set()
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


def test_who_loses_the_connection_finds_the_scene_again(
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


# Who speaks when


def test_in_company_it_answers_when_named(
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


def test_in_company_it_answers_after_a_pause(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("well", pause=0.2)
    running = serve(bot)
    wires = connect(running, "anon", "bob")
    for wire in wires.values():
        wire.ask("JOIN #sea")
    wires["anon"].send("PRIVMSG #sea :nice weather", "PRIVMSG #sea :is it not")
    assert said(wires["bob"], "PRIVMSG.*well").endswith(":well")
    assert prompt(bot).endswith("anon: nice weather||anon\nanon: is it not||user\n")
    engine: Any = bot.config.engine
    assert len(engine.prompts) == 1


def test_what_is_said_meanwhile_is_answered_in_order(
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
def test_what_stops_a_reply(end: str, serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    engine = FakeEngine(["x" * 100])
    speaks, stopped = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 3:
            speaks.set()
            assert stopped.wait(10)

    engine.on_token = wait
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon", caps="message-tags")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert "+typing=active" in said(anon, "TAGMSG")
    assert speaks.wait(10)
    anon.send(end)
    wait_for(lambda: engine._cancelled)
    stopped.set()
    if end == "CANCEL":
        assert "+typing=done" in said(anon, "TAGMSG")
        assert said(anon, "PRIVMSG").endswith(" #sea :xx")
        assert "cut (stopped)" in said(anon, "cut")


@pytest.mark.parametrize("order", ["PRIVMSG #sea :!cancel", "CANCEL", "PRIVMSG *relay :stop"])
def test_cancel_stops_what_waits_too_and_only_here(
    order: str, serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    engine = FakeEngine(["x" * 100, "for bob"])
    speaks, go_on = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 3 and not speaks.is_set():
            speaks.set()
            assert go_on.wait(10)

    engine.on_token = wait
    running = serve(make_bot(engine=engine))
    wires = connect(running, "anon", "bob")
    anon, bob = wires["anon"], wires["bob"]
    anon.ask("JOIN #sea")
    bob.ask("JOIN #land")
    anon.send("PRIVMSG #sea :one", "PRIVMSG #sea :two", "PRIVMSG #sea :three")
    assert speaks.wait(10)
    bob.ask("CANCEL")
    assert not engine._cancelled, "bob's scene is another one"
    bob.send("PRIVMSG #land :hello")
    anon.ask()
    anon.send(order)
    wait_for(lambda: engine._cancelled)
    go_on.set()
    assert said(bob).endswith(":for bob")
    assert len(engine.prompts) == 2, "neither two nor three was answered"


def test_a_message_of_several_lines_and_a_long_one(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("one\ntwo", "word " * 24))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert [said(anon)[-4:] for _ in range(2)] == [":one", ":two"]


def test_a_nick_of_its_own(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot("yes, it is me", nick="mia")
    running = serve(bot)
    anon = connect(running, "anon")["anon"]
    assert any("mia @anon" in line for line in anon.ask("JOIN #sea"))
    anon.send("PRIVMSG #sea :mia: is it you?")
    assert said(anon).startswith(":mia!mia@")
    assert prompt(bot).endswith("|anon\nis it you?||user\n"), "the context keeps Relay's roles"


# Orders, names, logs


@pytest.mark.parametrize(
    ("raw", "order"),
    [
        ("RETRY", Order("retry")),
        ("cast I'm a pirate", Order("cast", "I'm a pirate")),
        ("RESET", Order("cycle")),
        ("dance wildly", Order("/dance", "wildly")),
        ("Juggle :three balls", Order("/juggle", "three balls")),
        ("CAST :I am a nun", Order("cast", "I am a nun")),
        ("CAST #sea :I am a nun", Order("cast", "#sea I am a nun")),
        ("lazy :)", Order("lazy", ":)")),
        ("LAZY? do you", Order("lazy?", "do you")),
        ("MONITOR + x", None),
        ("join #x", None),
        ("x" * 40, None),
        ("\x01", None),
        ("", None),
    ],
)
def test_raw_commands(raw: str, order: Order | None) -> None:
    assert parse_raw(raw) == order


def test_other_spellings() -> None:
    assert parse_order(" Lazy  the sea") == Order("lazy", "the sea")
    assert parse_order("dance") is None
    assert parse_prefixed("!undo") == Order("undo")
    assert parse_prefixed("!lazy? do you") == Order("lazy?", "do you")
    assert parse_prefixed("!important: read this") is None
    assert parse_prefixed("retry") is None
    assert act("slaps User around a bit with a large trout", "user") == Order("slap")
    assert act("slaps bob around a bit with a large trout", "user").name == "/me"
    assert Order("cast", "a cook").line == "/cast a cook"
    assert aliases("irssi")[0] == "/alias cast quote CAST $C $*"
    assert aliases("weechat")[1] == "/alias add retry /quote RETRY $channel $*"


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
def test_under_which_name_a_scene_is_saved(channel: str, name: str) -> None:
    found = session_name(channel)
    assert found == name or (name.endswith(" ") and found.startswith(name))
    assert session_path(Path(), found)
    assert "/" not in found
    assert len(found) <= 60


def test_a_channel_is_logged(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    log = ChannelLog(tmp_path / "logs", "weechat")
    running = serve(make_bot("hello!", "ow", log=log))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea", "TOPIC #sea :boats")
    anon.send("PRIVMSG #sea :ahoy")
    said(anon)
    anon.send("PRIVMSG #sea :!slap")  # an order is not said, but what it does is seen
    said(anon, "ow$")
    anon.ask("PART #sea")
    (file,) = (tmp_path / "logs" / "#sea").iterdir()
    wait_for(lambda: "<--" in file.read_text())
    assert [line.split("\t")[1] for line in file.read_text().splitlines()] == (
        ["-->", "--", "anon", "user", " *", "user", "<--"]
    )


@pytest.mark.parametrize(
    ("style", "file", "lines"),
    [
        (
            "irssi",
            "2026-11-22.log",
            [
                "--- Log opened Sun Nov 22 12:00:00 2026",
                "12:00 -!- anon [anon@localhost] has joined #sea",
                "12:00 < anon> ahoy",
                "12:00 < user> one",
                "12:00 < user> two",
                "12:00  * anon waves",
                "12:00 -!- anon changed the topic of #sea to: boats",
                "12:00 -!- anon [anon@localhost] has left #sea",
            ],
        ),
        (
            "weechat",
            "2026-11-22.weechatlog",
            [
                "2026-11-22 12:00:00\t-->\tanon (anon@localhost) has joined #sea",
                "2026-11-22 12:00:00\tanon\tahoy",
                "2026-11-22 12:00:00\tuser\tone",
                "2026-11-22 12:00:00\tuser\ttwo",
                "2026-11-22 12:00:00\t *\tanon waves",
                '2026-11-22 12:00:00\t--\tanon has changed topic for #sea to "boats"',
                "2026-11-22 12:00:00\t<--\tanon (anon@localhost) has left #sea",
            ],
        ),
    ],
)
def test_logs(
    style: Any, file: str, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    log = ChannelLog(tmp_path, style, now=lambda: 1795348800.0)
    log.joined("#sea", "anon", "anon@localhost")
    log.said("#sea", "anon", "ahoy")
    log.said("#sea", "user", "one\ntwo")
    log.said("#sea", "anon", "waves", action=True)
    log.topic("#sea", "anon", "boats")
    log.left("#sea", "anon", "anon@localhost")
    assert (tmp_path / "#sea" / file).read_text().splitlines() == lines


def test_a_server_that_stops_keeps_what_was_said(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    engine = FakeEngine(["half a reply"])
    speaks, go_on = threading.Event(), threading.Event()

    def wait(count: int) -> None:
        if count == 5:
            speaks.set()
            assert go_on.wait(10)

    engine.on_token = wait
    running = serve(make_bot(engine=engine))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    assert speaks.wait(10)
    running.loop.call_soon_threadsafe(running._end.set)
    wait_for(lambda: engine._cancelled)
    go_on.set()
    running.stop()
    assert '"half' in (tmp_path / "irc" / "sea.jsonl").read_text()
