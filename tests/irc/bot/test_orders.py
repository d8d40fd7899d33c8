"""Orders: how clients send them, which channel they are about, what they do."""

from __future__ import annotations

from pathlib import Path

import pytest
from bots import MakeBot, said
from wire import Connect, Serve

from relay_gguf.irc.bot.orders import Order, act, aliases, parse_order, parse_prefixed, parse_raw

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


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


def test_orders_without_a_reply_are_answered_by_the_server(
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
def test_a_raw_command_is_an_order_or_made_up_or_neither(raw: str, order: Order | None) -> None:
    assert parse_raw(raw) == order


def test_an_order_is_found_in_every_spelling() -> None:
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


def test_several_replies_are_numbered_notices(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    running = serve(make_bot("first", "second", "third"))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    said(anon)
    anon.send("RETRY #sea 2")
    assert said(anon, "NOTICE").endswith("NOTICE #sea :2: second")
    assert said(anon, "NOTICE").endswith("NOTICE #sea :3: third")
    assert said(anon, "NOTICE").endswith(":Reply 1/3 stands; !next NUMBER takes another.")
    anon.send("NEXT 3")
    assert said(anon).endswith(":third")
