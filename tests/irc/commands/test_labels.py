"""Answers with the label of their command."""

from __future__ import annotations

import re

import pytest
from recording import RecordingHooks
from wire import Connect, Running, Serve

CAPS = "batch labeled-response echo-message message-tags"


@pytest.fixture
def running(serve: Serve) -> Running:
    """A server with a bot."""
    return serve(RecordingHooks())


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("PING x", "@label=a :relay.localhost PONG relay.localhost :x"),
        ("PONG x", "@label=a :relay.localhost ACK"),
        ("NO", "@label=a :relay.localhost 421 anon NO :Unknown command"),
        ("PRIVMSG ghost :x", "@label=a :relay.localhost 401 anon ghost :No such nick"),
        ("NAMES", "@label=a :relay.localhost 366 anon * :End of /NAMES list"),
    ],
)
def test_one_line_has_the_label(running: Running, connect: Connect, sent: str, got: str) -> None:
    anon = connect(running, "anon", caps=CAPS)["anon"]
    assert anon.ask(f"@label=a {sent}") == [got]


def test_several_lines_are_a_batch(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon", caps=f"{CAPS} server-time")["anon"]
    first, *lines, last = anon.ask("@label=a JOIN #saved")
    ref = re.fullmatch(r"@label=a :relay.localhost BATCH \+(\S+) labeled-response", first)
    assert ref is not None
    assert last == f":relay.localhost BATCH -{ref[1]}"
    begins = [n for n, line in enumerate(lines) if "chathistory #saved" in line]
    outside = lines[: begins[0] + 1] + lines[-1:]
    assert all(f"batch={ref[1]}" in line for line in outside)
    assert " JOIN #saved" in lines[0]


def test_an_echo_has_the_label_and_what_others_say_has_none(
    running: Running, connect: Connect
) -> None:
    wires = connect(running, "anon", "bob", caps=CAPS)
    (echo,) = wires["anon"].ask("@label=a PRIVMSG bob :hi")
    assert re.fullmatch(r"@msgid=\S+;label=a :anon!anon@localhost PRIVMSG bob :hi", echo)
    assert "label" not in str(wires["bob"].sync())
    own = wires["anon"].ask("@label=b PRIVMSG anon :note to myself")
    assert ["label=b" in line for line in own] == [False, True]


def test_a_message_of_several_lines_has_one_answer(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon", caps=f"{CAPS} draft/multiline")["anon"]
    anon.ask("JOIN #c")
    lines = ["@label=a BATCH +1 draft/multiline #c", "@batch=1 PRIVMSG #c one"]
    first, *_, last = anon.ask(*lines, "@batch=1 PRIVMSG #c two", "BATCH -1")
    ref = re.fullmatch(r"@msgid=\S+;label=a :anon!\S+ BATCH \+(\S+) draft/multiline #c", first)
    assert ref is not None
    assert last == f":anon!anon@localhost BATCH -{ref[1]}"
    refused = anon.ask("@label=b BATCH +2 draft/multiline #c", "@batch=2 PRIVMSG #c :", "BATCH -2")
    assert refused[0].startswith("@label=b :relay.localhost FAIL BATCH MULTILINE_INVALID ")


def test_a_client_without_the_capability_gets_no_label(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon", caps="message-tags batch")["anon"]
    assert anon.ask("@label=a PING x") == [":relay.localhost PONG relay.localhost :x"]


def test_a_labelled_quit_still_ends_with_an_error(running: Running, connect: Connect) -> None:
    anon = connect(running, "anon", caps=CAPS)["anon"]
    anon.send("@label=a QUIT :bye")
    assert anon.rest() == [
        "@label=a :relay.localhost ACK",
        "ERROR :Closing link: anon[localhost] (Quit: bye)",
    ]
