"""The documentation's fenced blocks, and the commands in them.

A block that nobody runs stands behind a comment that says why: `<!-- not run: needs the hub -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its page, the line where it begins, and why nobody runs it, if so."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def commands(self) -> list[str]:
        """Lines for a shell: all of a bash block, in other blocks those behind a `$ `."""
        lines = self.text.splitlines()
        if self.language == "bash":
            return [line for line in lines if line.strip()]
        return [line[2:] for line in lines if line.startswith("$ ")]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def fences(page: Path) -> list[Fence]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Fence(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            match["reason"] or "",
        )
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def programs(line: str) -> Iterator[list[str]]:
    """The words of each program that a line of shell starts; redirections and comments left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in ("|", "||", "&&", ";", "&"):
            yield words
            words = []
        else:
            words.append(word)
    yield words[: words.index(">")] if ">" in words else words
