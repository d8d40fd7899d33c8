"""Scenes that stand before the new one in a prompt: ours, a file of text, or a data set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.conversation.messages import ACTION, NICKS, Message, is_notice
from relay_gguf.errors import SettingsError
from relay_gguf.synth.irc_text import shown, spoken

from .head import AUTHOR, HeadStyle

OURS: Final = Path(__file__).with_name("examples.txt")
LONGEST: Final = 4000
"""Characters of a scene that is used: in a prompt of three, longer ones leave no room."""


@dataclass(frozen=True, slots=True)
class Example:
    """A whole scene: the lines of its head, and what is said."""

    head: tuple[str, ...]
    talk: tuple[str, ...]

    def text(self, style: HeadStyle) -> str:
        """The scene as raw text, with a line break at its end."""
        head = (AUTHOR,) if style == "author" else self.head
        return "".join(f"{line}\n" for line in (*head, *self.talk))


def read_examples(path: Path | None) -> tuple[Example, ...]:
    """The scenes of a file: text with an empty line between scenes, or JSON lines; None for ours.

    JSON lines are those of `relay-gguf dataset`, in either form. Scenes in which fewer than two
    lines are said, or that are longer than `LONGEST`, are left out.

    Raises:
        SettingsError: the file cannot be read, a line is not of the form, or no scene is left.
    """
    path = path or OURS
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read the examples {path}: {error}.") from error
    found = _of_json(path, text) if text.lstrip().startswith("{") else _of_text(path, text)
    kept = tuple(
        scene for scene in found if len(scene.talk) >= 2 and len(scene.text("relay")) <= LONGEST
    )
    if not kept:
        raise SettingsError(
            f"{path} has no scene of two lines or more and {LONGEST} characters or fewer."
        )
    return kept


def draw(pool: Sequence[Example], count: int, rng: random.Random) -> list[Example]:
    """So many scenes, each once, in random order."""
    return rng.sample(list(pool), min(count, len(pool)))


def _of_text(path: Path, text: str) -> Iterator[Example]:
    head: list[str] = []
    talk: list[str] = []
    for number, line in enumerate([*(text.splitlines()), ""], 1):
        line = line.rstrip()
        if not line:
            if head or talk:
                yield Example(tuple(head), tuple(talk))
            head, talk = [], []
        elif spoken(line):
            talk.append(line)
        elif line.startswith("* "):
            (talk if talk else head).append(line)
        else:
            raise SettingsError(
                f"{path}, line {number}: {line[:60]!r} is not a line of a scene. It must begin "
                "with <anon>, <user> or a star and a space."
            )


def _of_json(path: Path, text: str) -> Iterator[Example]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield _example(list(_messages(json.loads(line))))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise SettingsError(
                    f"{path}, line {number} is not a conversation as `relay-gguf dataset` writes "
                    "it, with messages or conversations of system, anon and user."
                ) from None


def _messages(value: Any) -> Iterator[Message]:
    rows: Iterable[Any] = value["messages"] if "messages" in value else value["conversations"]
    for row in rows:
        nick, content = row.get("role", row.get("from")), row.get("content", row.get("value"))
        if nick not in NICKS.values() or not isinstance(content, str):
            raise ValueError(nick)
        yield Message(nick, content)


def _example(messages: list[Message]) -> Example:
    """The scene that a channel shows: commands are not said, what answers them is."""
    head: list[str] = []
    talk: list[str] = []
    for message, follower in zip(messages, [*messages[1:], None], strict=True):
        command = message.content.startswith("/") and not message.content.startswith(ACTION)
        if command and follower is not None and is_notice(follower):
            continue
        begins = is_notice(message) and not talk
        (head if begins else talk).extend(shown(message))
    return Example(tuple(head), tuple(talk))
