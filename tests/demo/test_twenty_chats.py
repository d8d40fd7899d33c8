"""The kept transcript of twenty chats: played as written, read to the end, and counted."""

from __future__ import annotations

import re
from pathlib import Path

from demo.twenty_chats import CHATS, figures

KEPT = Path(__file__).with_name("twenty_chats.txt").read_text("utf-8")


def test_the_kept_chats_are_those_that_are_played() -> None:
    parts = KEPT.split("# chat ")[1:]
    assert [re.findall(r"(?m)^  <anon> (.*)$", part) for part in parts] == CHATS
    assert len(CHATS) == 20


def test_the_kept_chats_were_read_and_are_counted() -> None:
    """The figures of the adapter that is shipped."""
    assert list(figures(KEPT)) == [
        "20 chats, 67 replies, 0 of them not read",
        "sensible: 42 of 67 (63%)",
        "words a reply: 5.9 (the longest has 18)",
        "different replies: 66 of 67",
        "replies of 3 words or more in more than one chat: 1",
        "  hey good to see you",
    ]


def test_stock_phrases_are_told_from_greetings_and_within_a_chat() -> None:
    twice = "# chat 1\n  <anon> a\n+ <user> Hi!\n- <user> it is so.\n- <user> one two three\n"
    other = "# chat 2\n  <anon> b\n? <user> hi\n+ <user> It is so!\n"
    found = list(figures(twice + other))
    assert found[0] == "2 chats, 5 replies, 1 of them not read"
    assert found[1] == "sensible: 2 of 5 (40%)"
    assert found[4:] == ["replies of 3 words or more in more than one chat: 1", "  it is so"]
