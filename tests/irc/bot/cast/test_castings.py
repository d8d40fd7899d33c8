"""The model's people on the network: members as any, who come and go."""

from __future__ import annotations

from pathlib import Path

import pytest
from bots import MakeBot, prompt, said
from wire import Connect, Serve, Wire

from relay_gguf.conversation.company.person import Person

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do

CAST = (Person("kate", "a nurse from Cork"), Person("bob", "a pirate"))


def names(wire: Wire, channel: str) -> str:
    """Who is in a channel, as NAMES tells."""
    return next(line for line in wire.ask(f"NAMES {channel}") if " 353 " in line).split(" :")[1]


def test_people_are_members_with_a_bio(serve: Serve, connect: Connect, make_bot: MakeBot) -> None:
    bot = make_bot("hi", "arr", "and I", "psst", cast=CAST, chatter=0)
    wires = connect(serve(bot), "anon", "bea")
    anon = wires["anon"]
    assert any(line.endswith(":kate bob @anon") for line in anon.ask("JOIN #cork"))
    who = anon.ask("WHO #cork")
    assert who[0].endswith(" kate HB :0 a nurse from Cork")
    assert any("bio: I'm bob, a pirate" in line for line in anon.ask("WHOIS bob"))
    assert any(" 401 " in line for line in anon.ask("WHOIS user")), "they are in its place"
    anon.send("PRIVMSG #cork :hello")
    assert said(anon) == ":kate!kate@relay.localhost PRIVMSG #cork :hi"
    anon.send("PRIVMSG #cork :bob: hello")
    assert said(anon).startswith(":bob!bob@")
    assert prompt(bot) == (
        "|anon\n/join #cork||system\n* Now talking in #cork||system\n* user has joined #cork|"
        "|anon\n/whois user||system\n* user's bio: I'm bob, a pirate|"
        "|anon\nanon: hello||anon\nkate: hi||anon\nanon: hello||user\n"
    )
    anon.send("PRIVMSG #cork :\x01ACTION slaps kate around a bit with a large trout\x01")
    assert said(anon).endswith("kate!kate@relay.localhost PRIVMSG #cork :and I")
    assert "/slap user||system\n* anon slaps user around" in prompt(bot)
    anon.send("PRIVMSG kate :a secret")
    assert said(anon) == ":kate!kate@relay.localhost PRIVMSG anon :psst"
    assert "hello" not in prompt(bot)
    assert "user's bio: I'm kate, a nurse from Cork" in prompt(bot)
    assert any(" 433 " in line for line in wires["bea"].ask("NICK Kate"))


def test_one_more_comes_and_all_can_be_sent_away_but_the_last(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    bot = make_bot("arr", "yes", chatter=0)
    wires = connect(serve(bot), "anon", "bea")
    anon = wires["anon"]
    anon.ask("JOIN #sea")
    anon.send("CAST bob I'm a pirate")
    assert said(anon, "JOIN") == ":bob!bob@relay.localhost JOIN #sea"
    assert said(anon, "bio").endswith("NOTICE #sea :bob's bio: I'm bob, I'm a pirate")
    assert names(anon, "#sea") == "user @anon bob"
    assert any(line.endswith(":user @bea") for line in wires["bea"].ask("JOIN #land"))
    anon.send("PRIVMSG #sea :bob, who are you?")
    assert said(anon).startswith(":bob!")
    anon.send("KICK #sea bob :out")
    assert said(anon, "KICK") == ":anon!anon@localhost KICK #sea bob :out"
    assert any(" 441 " in line for line in anon.ask("KICK #sea bob"))
    anon.send("KICK #sea user")
    assert "user stays" in said(anon, "NOTICE")
    anon.send("INVITE bob #sea")
    assert said(anon, " 341 ").endswith("bob #sea")
    assert said(anon, "JOIN") == ":bob!bob@relay.localhost JOIN #sea"
    anon.send("KICK #sea user", "CAST a captain")
    assert said(anon, "KICK").endswith("KICK #sea user :anon")
    assert said(anon, "bio").endswith("bob's bio: I'm bob, a captain")
    anon.send("PRIVMSG #sea :and now?")
    assert said(anon).startswith(":bob!")
    assert "anon used /kick user" in prompt(bot)
    assert "user's bio: I'm bob, a captain" in prompt(bot)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["CAST a captain"], "kate and bob are here: say whose bio it is"),
        (["CAST Bea: a captain"], "Somebody else is called Bea"),
        (["PRIVMSG kate :hello", "CAST joe: a captain"], "not into private talks"),
    ],
)
def test_what_cannot_be_is_told(
    serve: Serve, connect: Connect, make_bot: MakeBot, lines: list[str], why: str
) -> None:
    anon = connect(serve(make_bot(cast=CAST, chatter=0)), "anon", "bea")["anon"]
    anon.ask("JOIN #sea")
    anon.send(*lines)
    assert why in said(anon, "NOTICE anon")
    assert names(anon, "#sea") == "kate bob @anon"


def test_after_a_restart_they_are_still_there(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    first = make_bot("hi", cast=CAST[:1], chatter=0)
    running = serve(first)
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("CAST joe: a baker")
    said(anon, "bio")
    anon.send("PRIVMSG #sea :hello")
    said(anon)
    running.stop()
    first.close()
    bot = make_bot("again", "yes", chatter=0)
    anon = connect(serve(bot), "anon")["anon"]
    assert any(line.endswith(":kate joe @anon") for line in anon.ask("JOIN #sea"))
    anon.send("PRIVMSG #sea :and you?")
    assert said(anon).startswith(":joe!"), "whose turn it is"
    assert "|anon\nkate: hi|" in prompt(bot)
    assert prompt(bot).count("bio") == 1
