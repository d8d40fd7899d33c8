"""Where a scene takes place: channel, topic and bio, crossed from lists of words."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError
from relay_gguf.toml import read_toml

OURS: Final = Path(__file__).with_name("words.toml")
TOPICS: Final = 0.6
"""Share of scenes with a topic; of these half have one of their channel's own."""
BIOS: Final = 0.4
"""Share of scenes in which the model's bio is known."""


@dataclass(frozen=True, slots=True)
class Premise:
    """Where a scene takes place; an empty topic or bio is not told."""

    channel: str
    topic: str = ""
    bio: str = ""


@dataclass(frozen=True, slots=True)
class PremiseWords:
    """What premises are made of: channels with their own topics, topics for any, bios."""

    channels: Mapping[str, tuple[str, ...]]
    topics: tuple[str, ...]
    bios: tuple[str, ...]

    def premise(self, rng: random.Random) -> Premise:
        """A premise, drawn at random."""
        channel = rng.choice(list(self.channels))
        own, chance = self.channels[channel], rng.random()
        topics = (own if own and rng.random() < 0.5 else self.topics) or own
        topic = rng.choice(topics) if topics and chance < TOPICS else ""
        bio = rng.choice(self.bios) if self.bios and rng.random() < BIOS else ""
        return Premise(channel, topic, bio)


def read_words(path: Path | None) -> PremiseWords:
    """The words of a TOML file with `topics`, `bios` and a table `channels`; None for ours.

    Raises:
        SettingsError: the file cannot be read, or has another form.
    """
    path = path or OURS
    table = read_toml(path)
    unknown = set(table) - {"channels", "topics", "bios"}
    if unknown:
        raise SettingsError(
            f"{path}: unknown key {min(unknown)!r}. Known keys: channels, topics, bios."
        )
    channels = table.get("channels", {})
    if not isinstance(channels, dict) or not channels:
        raise SettingsError(
            f'{path} needs a table [channels] of names and topics: books = ["first lines"].'
        )
    return PremiseWords(
        {_line(path, name).lstrip("#"): _lines(path, name, own) for name, own in channels.items()},
        _lines(path, "topics", table.get("topics", [])),
        _lines(path, "bios", table.get("bios", [])),
    )


def _lines(path: Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise SettingsError(f"{path}: {key} = {value!r} must be a list of strings.")
    return tuple(_line(path, each) for each in value)


def _line(path: Path, value: Any) -> str:
    if not isinstance(value, str) or not value.strip("# \t") or len(value.splitlines()) != 1:
        raise SettingsError(f"{path}: {value!r} must be a string of one line.")
    return value.strip()
