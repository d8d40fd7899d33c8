"""Plays the scenes of golden/roleplay/scenes.json, and says which replies are in role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Said
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session

SCENES = Path(__file__).parent / "golden" / "roleplay" / "scenes.json"


@dataclass(frozen=True)
class Rules:
    """What no good reply may have in any scene."""

    words: int
    bad: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Lines that are typed, and patterns for the reply to the last of them."""

    kind: str
    lines: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    words: int

    def is_good(self, reply: str) -> bool:
        """Whether a reply is in role."""

        def found(patterns: Iterable[str]) -> bool:
            return any(re.search(rf"(?i)(?<!\w)({p})(?!\w)", reply) for p in patterns)

        return found(self.good) and not found(self.bad) and len(reply.split()) <= self.words


@dataclass(frozen=True)
class Played:
    """A scene, and the last reply in it."""

    scene: Scene
    seed: int
    reply: str

    @property
    def is_good(self) -> bool:
        """Whether the reply is in role."""
        return self.scene.is_good(self.reply)


def read_scenes() -> list[Scene]:
    """All of them."""
    content = json.loads(SCENES.read_text("utf-8"))
    return [
        Scene(
            entry["kind"],
            tuple(entry["lines"]),
            tuple(entry["good"]),
            (*content["bad"], *entry.get("bad", ())),
            content["words"],
        )
        for entry in content["scenes"]
    ]


def play(
    engine: LlamaEngine,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    *,
    temperature: float | None = None,
    max_tokens: int = 64,
) -> Iterator[Played]:
    """Each scene with each seed, in a channel of its own; None samples as the original does."""
    params = SamplingParams(max_tokens=max_tokens)
    if temperature is not None:
        params = replace(params, temperature=temperature)
    for seed in seeds:
        for scene in scenes:
            session = Session(Dialogue(Generator(engine, replace(params, seed=seed))))
            events = [*session.start()]
            for line in scene.lines:
                events = [*session.submit(line)]
            replies = [e.message.content for e in events if isinstance(e, Said) and e.reason]
            yield Played(scene, seed, replies[-1] if replies else "")
