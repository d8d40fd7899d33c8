"""What clients that ask for it are told of replies: while they are written, and which they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bots import MakeBot, said
from wire import Connect, Serve

from relay_gguf.irc.bot import presenter

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do
CAPS = "message-tags batch server-time draft/chathistory"


def tags(line: str) -> dict[str, str]:
    """The tags of a line."""
    found = line.removeprefix("@").partition(" ")[0].split(";")
    return {name: value for name, _, value in (tag.partition("=") for tag in found)}


def test_replies_say_which_they_are_and_what_they_took(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    running = serve(make_bot("first", "second"))
    anon = connect(running, "anon", caps=CAPS)["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    first = tags(said(anon))
    assert first["relay-gguf/reply"] == "1/1"
    assert (first["relay-gguf/tokens"], first["relay-gguf/seconds"]) == ("5", "2.00")
    anon.send("RETRY #sea")
    assert tags(said(anon))["relay-gguf/reply"] == "2/2"
    anon.send("PREV #sea")
    again = tags(said(anon))
    assert again["relay-gguf/reply"] == "1/2"
    assert "relay-gguf/tokens" not in again
    got = anon.ask("CHATHISTORY LATEST #sea * 10")
    found = [tags(line).get("relay-gguf/reply") for line in got if " PRIVMSG " in line]
    assert found == [None, "1/1", "2/2", "1/2"]
    kept = (tmp_path / "irc-channels" / "sea.jsonl").read_text().splitlines()
    assert "reply" not in json.loads(kept[0])


def test_replies_to_choose_from_have_their_numbers(
    serve: Serve, connect: Connect, make_bot: MakeBot
) -> None:
    anon = connect(serve(make_bot("first", "second\nand more", "third")), "anon", caps=CAPS)["anon"]
    anon.ask("JOIN #sea")
    anon.send("PRIVMSG #sea :hello")
    said(anon)
    anon.send("RETRY #sea 2")
    lines = anon.until(" stands; !next NUMBER")
    found = [tags(line).get("relay-gguf/choice") for line in lines if " NOTICE " in line]
    assert found == ["2", "2", "3", None]


def test_a_client_that_asks_sees_what_is_being_written(
    serve: Serve, connect: Connect, make_bot: MakeBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenter, "_BETWEEN", 0)
    running = serve(make_bot("so; far"))
    wires = {
        **connect(running, "anon", caps=f"{CAPS} relay-gguf/writing"),
        **connect(running, "bob", caps=CAPS),
    }
    for wire in wires.values():
        wire.ask("JOIN #sea")
    wires["anon"].sync()
    wires["anon"].send("PRIVMSG #sea :user: hello")
    lines = wires["anon"].until(" PRIVMSG #sea :so; far")
    found = [tags(line)["relay-gguf/writing"] for line in lines if "writing=" in line]
    assert found[0] == "s"
    assert found[-1] == r"so\:\sfar"
    assert all("+typing=active" in line for line in lines if "writing=" in line)
    assert not re.search("writing", "".join(wires["bob"].until(" PRIVMSG #sea :so; far")))
