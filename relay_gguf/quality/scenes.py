"""Scenes of IRC to measure on: those of this package, which no model was trained on, or others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from relay_gguf.conversation.messages import Message
from relay_gguf.errors import QualityError

Scene = tuple[Message, ...]
HELD_OUT: Final = "scenes.jsonl"
FORMS: Final = (("messages", "role", "content"), ("conversations", "from", "value"))
"""Names of a conversation's list, and in it of nick and text, as `relay-gguf dataset` writes."""


def held_out_scenes() -> list[Scene]:
    """The scenes of this package."""
    text = files("relay_gguf.quality").joinpath(HELD_OUT).read_text("utf-8")
    return [_scene(json.loads(line)) for line in text.splitlines()]


def is_scenes(path: Path) -> bool:
    """Whether a file has scenes; others are plain text."""
    return path.suffix.lower() in (".jsonl", ".ndjson")


def read_scenes(path: Path) -> list[Scene]:
    """The scenes of a file as `relay-gguf dataset` writes it: a JSON object a line.

    Raises:
        QualityError: it cannot be read, or a line is not a conversation.
    """
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_scene(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise QualityError(
                f"{path}, line {number} is not a conversation: it should be like "
                '{"messages": [{"role": "anon", "content": "hi"}]}. Plain text should be in a file '
                "that does not end with .jsonl."
            ) from None
    return found


def read_text(path: Path) -> str:
    """A plain text without its last line break, as llama.cpp's tools read it.

    Raises:
        QualityError: it cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        raise QualityError(f"There is no file {path}. Check --data.") from None
    except OSError as error:
        raise QualityError(f"Cannot read {path}: {error.strerror or error}.") from error
    return text.removesuffix("\n")


def _scene(given: Mapping[str, Any]) -> Scene:
    for key, nick, content in FORMS:
        if key in given:
            lines = [(line[nick], line[content]) for line in given[key]]
            if not all(isinstance(part, str) for line in lines for part in line):
                raise TypeError(given)
            return tuple(Message(who, said) for who, said in lines)
    raise KeyError(FORMS[0][0])
