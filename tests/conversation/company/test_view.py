"""A channel as each of the people reads it: three roles, whoever speaks."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.company.view import View, people_of
from relay_gguf.conversation.messages import Message

CHANNEL = [
    Message("anon", "/join #cork"),
    Message("system", "* Now talking in #cork"),
    Message("system", "* user has joined #cork"),
    Message("anon", "/whois kate"),
    Message("system", "* kate's bio: I'm kate, a nurse"),
    Message("anon", "alice: bob: hi"),
    Message("bob", "arr", 3, cut=True),
    Message("kate", "hi bob", 4),
    Message("user", "hello", 2),
    Message("anon", "alice: kate: and you?"),
    Message("anon", "/kick bob"),
    Message("system", "* anon used /kick bob"),
    Message("anon", "/slap bob"),
    Message("system", "* anon slaps bob around a bit with a large trout"),
]


def read(view: View) -> list[tuple[str, str]]:
    return [(line.nick, line.content) for line in view.read(CHANNEL)[3:]]


def test_the_answer_to_a_whois_is_not_seen_by_others() -> None:
    assert View("bob").seen(CHANNEL) == [0, 1, 2, *range(5, len(CHANNEL))]
    assert View("kate").seen(CHANNEL) == list(range(len(CHANNEL)))


def test_bob_reads_his_own_lines_as_users() -> None:
    assert read(View("bob", user="mia")) == [
        ("anon", "alice: hi"),
        ("user", "arr"),
        ("anon", "kate: hi bob"),
        ("anon", "mia: hello"),
        ("anon", "alice: kate: and you?"),
        ("anon", "/kick user"),
        ("system", "* anon used /kick user"),
        ("anon", "/slap user"),
        ("system", "* anon slaps user around a bit with a large trout"),
    ]


def test_kate_reads_the_same_channel_from_her_side() -> None:
    assert read(View("kate"))[:7] == [
        ("anon", "/whois user"),
        ("system", "* user's bio: I'm kate, a nurse"),
        ("anon", "alice: bob: hi"),
        ("anon", "bob: arr"),
        ("user", "hi bob"),
        ("anon", "user: hello"),
        ("anon", "alice: and you?"),
    ]


def test_what_was_generated_stays_so_and_cut() -> None:
    assert View("bob").read(CHANNEL)[4] == Message("user", "arr", 3, cut=True)


@pytest.mark.parametrize(
    ("said", "heard"),
    [("hi", "anon: hi"), ("kate: hi", "anon: hi"), ("bob: hi", "anon: bob: hi"), ("/me", "/me")],
)
def test_a_single_human_gets_a_name_beside_others(said: str, heard: str) -> None:
    """Else `bob: hi`, said to bob, would be what bob says."""
    view = View("kate", human="anon")
    assert view.read([Message("anon", said)]) == [Message("anon", heard)]


def test_the_programs_own_join_is_everybodys() -> None:
    opening = Message("user", "/join #random")
    assert View("kate").read([opening]) == [opening]


def test_people_are_those_who_speak_or_were_introduced() -> None:
    assert people_of(CHANNEL) == ["kate", "bob"]
    assert people_of([Message("system", "* user's bio: a nurse"), Message("anon", "hi")]) == []
