"""What a check of a file found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "note", "problem"]

AGAIN: Final = "Download or convert it again."
CONVERT: Final = "Convert the model again."


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, how it is, and what helps. A problem would break a chat."""

    level: Level
    check: str
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding("ok", check, text)


def note(check: str, text: str, remedy: str = "") -> Finding:
    """It could be better, or a person should know it."""
    return Finding("note", check, text, remedy)


def problem(check: str, text: str, remedy: str = "") -> Finding:
    """No program loads the file, or an app does not chat as Relay does."""
    return Finding("problem", check, text, remedy)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether something would break a chat."""
    return any(finding.level == "problem" for finding in findings)
