"""A question as a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a set.

    `category` and `subcategory` are as the file has them: `plain` is for people. `harmless` says
    that a refusal is a fault; the others are those where an answer may be one.
    """

    text: str
    category: str = ""
    subcategory: str = ""
    harmless: bool = False
    source: str = ""
    number: int = 1  # of the same question in the same place, from 1

    @property
    def key(self) -> str:
        """What names the question in the files of a run: 16 hexadecimal digits."""
        fields = (self.text, self.category, self.subcategory, self.harmless, self.number)
        return blake2b(repr(fields).encode("utf-8", "replace"), digest_size=8).hexdigest()

    @property
    def place(self) -> tuple[str, str]:
        """Its category and subcategory, for people."""
        return plain(self.category), plain(self.subcategory)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Questions of a set that are there more than once: in one place, or in several."""

    same_place: int = 0
    other_place: int = 0

    @property
    def total(self) -> int:
        """Questions that could be left out without losing a text."""
        return self.same_place + self.other_place


def plain(name: str) -> str:
    """A category's name without the stray colons and spaces of published files."""
    return " ".join(name.replace("_", " ").split()).strip(" :")


def numbered(questions: Iterable[Question]) -> list[Question]:
    """The questions, of which equal ones in the same place get numbers: each is asked."""
    seen: Counter[tuple[object, ...]] = Counter()
    found = []
    for one in questions:
        place = (one.text, one.category, one.subcategory, one.harmless)
        seen[place] += 1
        found.append(
            Question(one.text, one.category, one.subcategory, one.harmless, one.source, seen[place])
        )
    return found


def repeats(questions: Sequence[Question]) -> Repeats:
    """How many questions repeat another one, compared without case, spaces and end marks."""

    def words(text: str) -> str:
        return " ".join(text.casefold().split()).rstrip(" .?!")

    places = Counter((words(one.text), one.place) for one in questions)
    texts = Counter(text for text, _ in places)
    return Repeats(
        same_place=sum(count - 1 for count in places.values()),
        other_place=sum(count - 1 for count in texts.values()),
    )
