"""A finished scene as it is kept before any filter: a JSON line each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from relay_gguf.conversation.messages import Message
from relay_gguf.synth.irc_text import joined, spoken
from relay_gguf.synth.prompts.head import HeadStyle, head_messages
from relay_gguf.synth.prompts.premise import Premise

STYLES: Final = ("relay", "author")


@dataclass(frozen=True, slots=True)
class RawScene:
    """What was sampled for one number of a run.

    `run` is the run's identity; `text` ends with the model's last whole line; `logprob` is the mean
    natural logarithm of the probabilities of all sampled tokens, those after that line included.
    """

    run: str
    number: int
    seed: int
    style: HeadStyle
    premise: Premise
    starter: str  # as given; empty if the model wrote it
    text: str
    end: str
    tokens: int
    logprob: float

    @property
    def lines(self) -> list[str]:
        """What was said, line by line."""
        return self.text.splitlines()

    @property
    def talk(self) -> tuple[Message, ...]:
        """What was said, as messages: lines that one of the two says in a row are one message."""
        return joined(message for line in self.lines if (message := spoken(line)))

    @property
    def opening(self) -> tuple[Message, ...]:
        """The opening of the conversation."""
        return head_messages(self.premise, self.style)


def to_json(scene: RawScene) -> str:
    """A scene as a JSON line, without a line break."""
    values = asdict(scene) | {"i": scene.number, "logprob": round(scene.logprob, 4)}
    del values["number"]
    return json.dumps(values, ensure_ascii=False)


def from_json(line: str) -> RawScene:
    """The scene of a JSON line.

    Raises:
        ValueError, KeyError, TypeError: it is not one.
    """
    values: dict[str, Any] = json.loads(line)
    values["number"] = int(values.pop("i"))
    values["premise"] = Premise(**values["premise"])
    scene = RawScene(**values)
    texts = (scene.run, scene.starter, scene.text, scene.end, scene.premise.channel)
    if scene.style not in STYLES or not all(isinstance(text, str) for text in texts):
        raise ValueError(line[:60])
    return scene
