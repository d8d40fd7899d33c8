"""Who is the model in a log, and its nick from line to line.

`--as` names it by nicks or patterns, in which `*` and `?` stand for anything; brackets are letters
of a nick. If a person that `--as` names takes another nick, that nick counts too, until its bearer
changes back, leaves, or somebody joins with it.

Clients write "You are now known as ..." without the old nick. The owner of the log is the person
who joined right before the channel's names were listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .logs.log_line import LineKind, LogLine, fold

KNOWN: Final = 50_000
"""Nicks of a log that are remembered, so that memory does not grow with its size."""


class People:
    """The people of a log, as of the line that was followed last."""

    def __init__(self, nicks: Iterable[str]) -> None:
        self._patterns = [pattern(nick) for nick in nicks]
        self._matches: dict[str, bool] = {}
        self._aliases: dict[str, str] = {}  # folded → the nick that --as names
        self._known: dict[str, None] = {}  # folded; in the order in which they came
        self._owner = ""
        self._came = ""
        self.lost = 0  # changes of the owner's nick that could not be followed

    def is_model(self, nick: str) -> bool:
        """Whether the model has this nick now."""
        folded = fold(nick)
        if folded in self._aliases:
            return True
        matches = self._matches.get(folded)
        if matches is None:
            if len(self._matches) >= KNOWN:
                self._matches.clear()
            matches = any(each.fullmatch(folded) for each in self._patterns)
            self._matches[folded] = matches
        return matches

    def is_known(self, nick: str) -> bool:
        """Whether somebody had this nick up to now."""
        return fold(nick) in self._known

    def named(self, nick: str) -> str:
        """The nick that `--as` names, if the model took another one; else `nick` itself."""
        return self._aliases.get(fold(nick), nick)

    def follow(self, line: LogLine) -> None:
        """Learn joins, parts and nick changes from a line."""
        kind = line.kind
        if kind is LineKind.SAID or kind is LineKind.ACTED:
            self._meet(line.nick)
        elif kind is LineKind.JOINED:
            self._aliases.pop(fold(line.nick), None)
            self._meet(line.nick)
            self._came = line.nick
        elif kind is LineKind.LEFT:
            self._meet(line.nick)
            self._aliases.pop(fold(line.nick), None)
        elif kind is LineKind.NAMES:
            self._owner, self._came = self._came or self._owner, ""
        elif kind is LineKind.NICK:
            self._renamed(line.nick or self._owner, line.text, by_owner=not line.nick)

    def _renamed(self, old: str, new: str, *, by_owner: bool) -> None:
        if by_owner or fold(old) == fold(self._owner):
            self._owner = new
        self._meet(new)
        if not old:
            self.lost += not self.is_model(new)
            return
        self._meet(old)
        was_model, first = self.is_model(old), self.named(old)
        self._aliases.pop(fold(old), None)
        self._aliases.pop(fold(new), None)
        if was_model and not self.is_model(new):
            self._aliases[fold(new)] = first

    def _meet(self, nick: str) -> None:
        folded = fold(nick)
        if folded and folded not in self._known:
            if len(self._known) >= KNOWN:
                del self._known[next(iter(self._known))]
            self._known[folded] = None


def pattern(nick: str) -> re.Pattern[str]:
    """A regular expression for a nick, in which * and ? are wildcards; matches folded nicks."""
    parts = re.split(r"([*?])", nick)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(part) or re.escape(fold(part)) for part in parts))
