"""Messages of several lines: from clients and from hooks, for clients with and without batches."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import Connect, Serve, Wire, wait_for

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.network.message import Fragment, MessageKind, SentMessage, compose, lines
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.protocol.line import encode

CAPS = "message-tags batch server-time echo-message draft/multiline"


class Listener(Hooks):
    """Remembers what it hears."""

    personas = (Persona("user"),)

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str, str, list[str]]] = []

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        self.heard.append((client.nick, target, text, kind, list(lines)))


def batch(*parts: str, ref: str = "123", target: str = "#c") -> list[str]:
    """A batch as a client sends it; a part with `+` in front continues the one before."""
    sent = []
    for part in parts:
        concat = ";draft/multiline-concat" if part.startswith("+") else ""
        sent.append(f"@batch={ref}{concat} PRIVMSG {target} :{part.removeprefix('+')}")
    return [f"BATCH +{ref} draft/multiline {target}", *sent, f"BATCH -{ref}"]


def test_several_lines_are_one_message(serve: Serve, connect: Connect) -> None:
    listener = Listener()
    running = serve(listener)
    wires = {**connect(running, "anon", "bob", caps=CAPS), **connect(running, "plain")}
    wires |= connect(running, "tags", caps="message-tags server-time")
    for wire in wires.values():
        wire.ask("JOIN #c")
    for wire in wires.values():
        wire.sync()
    sent = batch("", "hello", "how is ", "+everyone?")
    got = wires["anon"].ask(f"@+mood=fine;x=y {sent[0]}", *sent[1:])
    ref = re.search(r"BATCH \+(\S+)", got[0])
    assert ref
    start = re.fullmatch(
        r"@time=(\S+?);msgid=(\S+?);\+mood=fine :anon!anon@localhost "
        r"BATCH \+\S+ draft/multiline #c",
        got[0],
    )
    assert start, got[0]
    assert got[1:] == [
        f"@batch={ref[1]} :anon!anon@localhost PRIVMSG #c :",
        f"@batch={ref[1]} :anon!anon@localhost PRIVMSG #c :hello",
        f"@batch={ref[1]} :anon!anon@localhost PRIVMSG #c :how is ",
        f"@batch={ref[1]};draft/multiline-concat :anon!anon@localhost PRIVMSG #c :everyone?",
        f":anon!anon@localhost BATCH -{ref[1]}",
    ]
    assert len(wires["bob"].sync()) == 6
    assert wires["plain"].sync() == [
        ":anon!anon@localhost PRIVMSG #c :hello",
        ":anon!anon@localhost PRIVMSG #c :how is ",
        ":anon!anon@localhost PRIVMSG #c :everyone?",
    ]
    time, msgid = start[1], start[2]
    assert wires["tags"].sync() == [
        f"@time={time};msgid={msgid};+mood=fine :anon!anon@localhost PRIVMSG #c :hello",
        f"@time={time};+mood=fine :anon!anon@localhost PRIVMSG #c :how is ",
        f"@time={time};+mood=fine :anon!anon@localhost PRIVMSG #c :everyone?",
    ]
    wait_for(lambda: bool(listener.heard))
    text = "\nhello\nhow is everyone?"
    assert listener.heard == [("anon", "#c", text, "privmsg", ["", "hello", "how is everyone?"])]


REFUSALS = [
    (
        [*batch("hi")[:1], "@batch=231 PRIVMSG #c :hi", "BATCH -123"],
        "MULTILINE_INVALID :There is no such batch",
    ),
    (batch("hi", "+"), "MULTILINE_INVALID :A blank line continues nothing"),
    (batch("", " "), "MULTILINE_INVALID :Nothing but blank lines"),
    (batch(), "MULTILINE_INVALID :Nothing but blank lines"),
    (
        [*batch()[:1], "@batch=123 PRIVMSG #d :hi", "BATCH -123"],
        "MULTILINE_INVALID_TARGET #c #d :Another target",
    ),
    (
        [*batch()[:1], "@batch=123 NOTICE #c :hi", "BATCH -123"],
        "MULTILINE_INVALID :Only PRIVMSG can have several lines",
    ),
    (batch(*["x"] * 30), "MULTILINE_MAX_LINES 24 :Too many lines"),
    (batch(*["x" * 400] * 12), "MULTILINE_MAX_BYTES 4096 :Too many bytes"),
    (["BATCH +1 netsplit a b"], "MULTILINE_INVALID :Invalid batch"),
    (["BATCH -1"], "MULTILINE_INVALID :Invalid batch"),
    (["BATCH +1 draft/multiline"], "MULTILINE_INVALID :Invalid batch"),
    (["BATCH :"], "MULTILINE_INVALID :Invalid batch"),
]


def test_what_cannot_be_one_message_is_refused_once(serve: Serve, connect: Connect) -> None:
    listener = Listener()
    wire = connect(serve(listener, limits=Limits(burst=10_000)), "anon", caps=CAPS)["anon"]
    wire.ask("JOIN #c", "JOIN #d")
    for sent, why in REFUSALS:
        assert wire.ask(*sent) == [f":relay.localhost FAIL BATCH {why}"], sent
    assert wire.ask(*batch("fine")) != []
    wait_for(lambda: bool(listener.heard))
    assert [heard[2] for heard in listener.heard] == ["fine"]


def test_a_client_may_have_four_open_batches(serve: Serve, connect: Connect) -> None:
    wire = connect(serve(), "anon", caps=CAPS)["anon"]
    got = wire.ask(*(f"BATCH +{n} draft/multiline #c" for n in range(6)))
    assert got == [":relay.localhost FAIL BATCH MULTILINE_INVALID :Too many open batches"] * 2


def test_the_limits_themselves_are_allowed(serve: Serve, connect: Connect) -> None:
    listener = Listener()
    wire = connect(serve(listener, limits=Limits(burst=10_000)), "anon", caps=CAPS)["anon"]
    wire.ask("JOIN #c")
    most = ["x" * 409] * 9 + ["x" * 406]  # and nine line feeds
    for parts in (most, ["y"] * 24):
        assert not any("FAIL" in line for line in wire.ask(*batch(*parts)))
    wait_for(lambda: len(listener.heard) == 2)
    assert [len(heard[4]) for heard in listener.heard] == [10, 24]
    assert len(listener.heard[0][2]) == 4096


def said(wire: Wire) -> list[str]:
    """Lines without ids and times."""
    return [re.sub(r"(msgid|time|batch)=[^; ]+|[+-][0-9a-f]{8}-\d+", r"\1", x) for x in wire.sync()]


def test_a_text_of_several_lines_that_hooks_say(serve: Serve, connect: Connect) -> None:
    running = serve(Listener())
    wires = {**connect(running, "anon", caps=CAPS), **connect(running, "plain")}
    for wire in wires.values():
        wire.ask("JOIN #c")
    wires["anon"].sync()
    long = "word " * 120
    assert running.call(running.server.say, "#c", f"first\n\n{long.strip()}\r\nlast\n\n")
    source = ":user!user@relay.localhost"
    room = 512 - len(f"{source} PRIVMSG #c :\r\n")
    got = said(wires["anon"])
    assert got[0] == f"@time;bot;msgid {source} BATCH  draft/multiline #c"
    assert got[1] == f"@batch {source} PRIVMSG #c :first"
    assert got[2] == f"@batch {source} PRIVMSG #c :"
    assert got[3] == f"@batch {source} PRIVMSG #c :{'word ' * (room // 5)}"
    assert got[4].startswith(f"@batch;draft/multiline-concat {source} PRIVMSG #c :word")
    assert got[5:] == [f"@batch {source} PRIVMSG #c :last", f"{source} BATCH "]
    plain = said(wires["plain"])
    assert len(plain) == 4
    assert "".join(line.split(" :")[1] for line in plain) == f"first{long.strip()}last"

    running.call(running.server.act, "#c", "waves\nand smiles")
    assert said(wires["anon"]) == [
        f"@time;bot;msgid {source} PRIVMSG #c :\x01ACTION waves\x01",
        f"@time;bot;msgid {source} PRIVMSG #c :\x01ACTION and smiles\x01",
    ]
    running.call(running.server.notice, "plain", "a\nb")
    assert said(wires["anon"]) == []
    assert said(wires["plain"])[-2:] == [f"{source} NOTICE plain :a", f"{source} NOTICE plain :b"]
    assert running.call(running.server.say, "#c", " \n\n") == ""
    assert running.call(running.server.say, "#nowhere", "x") == ""


@given(st.text(), st.sampled_from(["privmsg", "action", "notice"]))
def test_no_text_breaks_the_protocol(text: str, kind: MessageKind) -> None:
    source, limits = "user!user@relay.localhost", Limits()
    for verb, parts in compose(source, "#c", text * 9, kind, limits):
        speech = SentMessage(source, verb, "#c", parts)
        assert speech.fits
        assert len(parts) <= limits.batch_lines
        assert len(speech.text.encode("utf-8", "replace")) <= limits.batch_bytes
        assert parts[0].text.strip(" ")
        for caps in (set[str](), {"batch", "draft/multiline"}):
            for line in lines(speech, caps, "1"):
                assert encode(line).count(b"\r\n") == 1
                assert kind == "action" or b"\x01" not in encode(line)


@given(st.lists(st.text("ab é漢", max_size=700), max_size=40))
def test_nothing_visible_is_lost(texts: list[str]) -> None:
    text = "\n".join(texts)
    composed = compose("u!u@h", "#c", text, "privmsg", Limits())
    back = "\n".join(SentMessage("", "", "", parts).text for _, parts in composed)
    assert re.sub(r"\s", "", back) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("caps", [set(), {"batch"}, {"draft/multiline"}])
def test_both_capabilities_are_needed(caps: set[str]) -> None:
    speech = SentMessage("s", "PRIVMSG", "#c", (Fragment("a"), Fragment("b")))
    assert [line.verb for line in lines(speech, caps, "1")] == ["PRIVMSG", "PRIVMSG"]
