"""A person that the model plays beside others: a nick and a bio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.errors import CommandError

LONGEST_NICK: Final = 30
"""Bytes, as on the IRC network."""
MOST_PEOPLE: Final = 8
"""People of the model in one channel."""


@dataclass(frozen=True, slots=True)
class Person:
    """One of the people whom the model plays; a `bio` may be empty."""

    nick: str
    bio: str = ""

    @property
    def introduction(self) -> str:
        """The bio as the model reads it: it tells the nick too, by which others call this person.

        The bio of `user` is taken to the letter.
        """
        if not self.bio or self.nick == NICKS["model"] or is_named(self.bio, self.nick):
            return self.bio
        return f"I'm {self.nick}, {self.bio}"

    @property
    def lines(self) -> tuple[Message, ...]:
        """The lines that give this person the bio: the answer to a whois, as of Relay's /cast."""
        if not self.bio:
            return ()
        return rules.cast({**NICKS, "model": self.nick}, "input", self.introduction)


def read_person(text: str) -> Person:
    """The person of `kate: a nurse from Cork`; the bio may hold colons.

    Raises:
        CommandError: it does not begin with a nick and a colon, or there is no bio.
    """
    nick, colon, bio = text.partition(":")
    nick, bio = nick.strip(), " ".join(bio.split())
    if not colon or not bio:
        raise CommandError(
            f"{text!r} does not say who comes: a nick, a colon and a bio, as in "
            '"kate: a nurse from Cork".'
        )
    check_nick(nick)
    return Person(nick, bio)


def read_people(texts: Sequence[str], user: str = NICKS["model"]) -> tuple[Person, ...]:
    """The people of several texts, as `read_person`.

    Args:
        texts: one for each.
        user: the nick of the one who is `user` in messages.

    Raises:
        CommandError: one cannot be read, two have the same nick, or there are too many.
    """
    people = [read_person(text) for text in texts]
    nicks = [person.nick.lower() for person in people]
    if twice := [nick for nick in nicks if nicks.count(nick) > 1]:
        raise CommandError(f"Two people are called {twice[0]}.")
    if len(people) > MOST_PEOPLE:
        raise CommandError(f"{len(people)} people are too many for a channel: {MOST_PEOPLE} fit.")
    if NICKS["model"] in nicks and user.lower() != NICKS["model"]:
        raise CommandError(f"{user} is {NICKS['model']} in scenes: nobody else can be called so.")
    return tuple(people)


def check_nick(nick: str) -> None:
    """Refuse what cannot be a nick beside others.

    Raises:
        CommandError: the text says why.
    """
    if not re.fullmatch(r"[^\W\d][\w\[\]\\`^{}|-]*", nick) or len(nick.encode()) > LONGEST_NICK:
        raise CommandError(
            f"{nick!r} is not a nick: a letter, then letters, digits or - _, "
            f"{LONGEST_NICK} bytes at most."
        )
    if nick.lower() in {NICKS["input"], NICKS["system"]}:
        raise CommandError(f"Nobody can be called {nick}: Relay has that nick for another.")


def is_named(text: str, nick: str) -> bool:
    """Whether a text has a nick in it, as a word of its own."""
    return word(nick).search(text) is not None


def word(nick: str) -> re.Pattern[str]:
    """The pattern of a nick as a word of its own, in any case."""
    return re.compile(rf"(?<![\w-]){re.escape(nick)}(?![\w-])", re.IGNORECASE)
