"""What CAST is about: a person, or the bio of the one who is there."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.company.person import Person
from relay_gguf.irc.bot.cast.cast_order import read_cast


@pytest.mark.parametrize(
    ("argument", "person"),
    [
        ("bob I'm a pirate", Person("bob", "I'm a pirate")),
        ("bob I am a pirate", Person("bob", "I am a pirate")),
        ("Bob: a pirate: arr", Person("Bob", "a pirate: arr")),
        ("bob:a pirate", Person("bob", "a pirate")),
        ("kate a doctor now", Person("kate", "a doctor now")),
        ("I'm a pirate", None),
        ("You're a pirate", None),
        ("a pirate", None),
        ("Mia, 34, a lighthouse keeper", None),
        ("name: Mia, age: 34", None),
        ("bob is a pirate", None),
        ("anon: a pirate", None),
        ("bob:", None),
        ("kate", None),
        ("", None),
    ],
)
def test_whom_cast_is_about(argument: str, person: Person | None) -> None:
    assert read_cast(argument, lambda nick: nick == "kate") == person
