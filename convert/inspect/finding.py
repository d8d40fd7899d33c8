"""The result of a check of a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "note", "problem"]

AGAIN: Final = "Download or convert it again."
CONVERT: Final = "Convert the model again."


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check in words, and a remedy where one is known.

    A `problem` breaks a chat; a `note` is worth knowing.
    """

    level: Level
    check: str
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """A finding that all is well."""
    return Finding("ok", check, text)


def note(check: str, text: str, remedy: str = "") -> Finding:
    """A finding that is worth knowing, and breaks no chat."""
    return Finding("note", check, text, remedy)


def problem(check: str, text: str, remedy: str = "") -> Finding:
    """A finding by which programs refuse the file, or apps do not chat as Relay does."""
    return Finding("problem", check, text, remedy)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether a finding is a problem."""
    return any(finding.level == "problem" for finding in findings)
