"""Who the people are: nicks, bios, and what the model reads of them."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.company.person import Person, read_people, read_person
from relay_gguf.errors import CommandError


def test_a_bio_may_hold_colons_and_line_breaks() -> None:
    assert read_person(" kate : a nurse: from\nCork ") == Person("kate", "a nurse: from Cork")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kate", "does not say who comes"),
        ("kate:  ", "does not say who comes"),
        ("9x: a", "is not a nick"),
        ("two words: a", "is not a nick"),
        ("anon: a", "Nobody can be called anon"),
        ("System: a", "Nobody can be called System"),
        ("k" * 31 + ": a", "is not a nick"),
    ],
)
def test_what_is_not_a_person_is_refused(text: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        read_person(text)


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["kate: a", "Kate: b"], "Two people are called kate"),
        ([f"p{n}: a" for n in range(9)], "9 people are too many"),
        (["user: a"], "nobody else can be called so"),
    ],
)
def test_people_who_cannot_be_together_are_refused(texts: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        read_people(texts, "mia")


@pytest.mark.parametrize(
    ("person", "read"),
    [
        (Person("kate", "a nurse"), "I'm kate, a nurse"),
        (Person("bob", "I'm Bob. Arr"), "I'm Bob. Arr"),
        (Person("bob", "a bobsleigh driver"), "I'm bob, a bobsleigh driver"),
        (Person("user", "a dentist"), "a dentist"),
        (Person("joe"), ""),
    ],
)
def test_the_model_reads_the_nick_with_the_bio(person: Person, read: str) -> None:
    """Others call it by that nick, which it would not know otherwise."""
    assert person.introduction == read
    assert [line.content for line in person.lines] == (
        [f"/whois {person.nick}", f"* {person.nick}'s bio: {read}"] if read else []
    )
