"""Who of the people is in which channel, now and after a restart."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay_gguf.conversation.company.person import MOST_PEOPLE, Person
from relay_gguf.errors import CommandError
from relay_gguf.irc.bot.cast.cast_list import MOST_KNOWN, CastList

KATE, BOB = Person("kate", "a nurse"), Person("bob", "a pirate")


def nicks(people: CastList, channel: str = "#sea") -> list[str]:
    return [person.nick for person in people.here(channel)]


def test_without_a_cast_the_model_is_there_alone(tmp_path: Path) -> None:
    people = CastList(tmp_path / "irc", "mia")
    assert people.here("#sea") == people.at("#sea") == people.at("anon") == [Person("user")]
    assert people.nicks("#sea") == people.nicks("") == ["mia"]
    assert people.find("MIA") == Person("user")
    assert people.find("user") is None
    people.settle("#sea")
    assert not list(tmp_path.rglob("*")), "nothing is written where nothing was changed"


def test_a_cast_is_in_every_channel_in_its_place(tmp_path: Path) -> None:
    people = CastList(tmp_path / "irc", "user", (KATE, BOB))
    assert people.here("#sea") == people.everybody == [KATE, BOB]
    assert people.at("anon bob") == [BOB]
    assert people.find("user") is None


def test_who_came_and_went_is_known_after_a_restart(tmp_path: Path) -> None:
    people = CastList(tmp_path / "irc", "user", (KATE,))
    people.add("#SEA", BOB)
    people.remove("#sea", "kate")
    people.settle("#land")
    (path,) = tmp_path.rglob("people.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = CastList(tmp_path / "irc", "user", (Person("kate", "a doctor"), Person("joe", "new")))
    assert nicks(again) == ["bob", "joe"], "kate was sent away from there"
    assert nicks(again, "#land") == ["kate", "joe"]
    assert again.find("kate") == Person("kate", "a doctor"), "the command line is the newest word"
    without = CastList(tmp_path / "irc", "user")
    assert nicks(without) == ["bob"]
    assert nicks(without, "#new") == ["user"]
    assert without.find("kate") == KATE


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"people": {}}', '{"people": {"9": ""}, "channels": {}}', '{"people": 3}'],
)
def test_a_damaged_file_has_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "irc-channels" / "people.json"
    path.parent.mkdir()
    path.write_text(text)
    assert nicks(CastList(tmp_path / "irc", "user")) == ["user"]


def test_there_are_so_many_at_most(tmp_path: Path) -> None:
    people = CastList(None, "user")
    for number in range(MOST_PEOPLE - 1):
        people.add("#sea", Person(f"p{number}", "x"))
    with pytest.raises(CommandError, match="kick one first"):
        people.check("#sea", BOB)
    people.check("#sea", Person("p1", "another bio"))
    for number in range(MOST_KNOWN):
        people.add(f"#c{number}", Person(f"p{number}", "x"))
    with pytest.raises(CommandError, match="people of the model already"):
        people.check("#land", BOB)
