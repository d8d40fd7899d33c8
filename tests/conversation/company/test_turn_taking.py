"""Whom a line speaks to, and whose turn it is."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.company.turn_taking import addressed, in_turn


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("hello there", []),
        ("bob: hi", ["bob"]),
        ("BOB, hi", ["bob"]),
        ("bob: ask kate", ["bob"]),
        ("kate and bob: hi", ["kate", "bob"]),
        ("bob, kate, hi", ["bob", "kate"]),
        ("what do you think, kate?", ["kate"]),
        ("I like kate and bob", ["kate", "bob"]),
        ("bob's ship, kate?", ["bob", "kate"]),
        ("katesque bobbing e-bob", []),
        ("http://bob:8080", ["bob"]),
        ("hi everyone", ["kate", "bob"]),
        ("all: hi", ["kate", "bob"]),
        ("that is all: nothing", []),
        ("everybody likes bob", ["bob"]),
        ("/slap kate", ["kate"]),
    ],
)
def test_whom_a_line_speaks_to(text: str, whom: list[str]) -> None:
    assert addressed(text, ["kate", "bob"]) == whom


def test_a_line_speaks_to_nobody_where_nobody_is() -> None:
    assert addressed("bob: hi", []) == []


@pytest.mark.parametrize(
    ("spoken", "who"),
    [
        ([], "kate"),
        (["kate"], "bob"),
        (["kate", "anon", "bob"], "joe"),
        (["kate", "bob", "joe", "kate"], "bob"),
        (["joe", "kate", "bob", "anon"], "joe"),
    ],
)
def test_who_spoke_longest_ago_is_in_turn(spoken: list[str], who: str) -> None:
    assert in_turn(["kate", "bob", "joe"], spoken) == who
