"""The hand-made corpus of good and bad scenes, as raw scenes."""

from __future__ import annotations

from pathlib import Path

from relay_gguf.synth.prompts.examples import read_examples
from relay_gguf.synth.prompts.premise import Premise
from relay_gguf.synth.raw.raw_scene import RawScene

CORPUS = Path(__file__).parent / "corpus"


def raw_scene(text: str, number: int = 0, **values: object) -> RawScene:
    """A raw scene with what is said; the rest is as usual."""
    usual = {
        "run": "run",
        "number": number,
        "seed": 1,
        "style": "relay",
        "premise": Premise("boats"),
        "starter": "",
        "text": text,
        "end": "empty line",
        "tokens": 50,
        "logprob": -2.0,
    }
    return RawScene(**{**usual, **values})  # type: ignore[arg-type]


def good_scenes() -> list[RawScene]:
    """The examples that we ship, and scenes that filters might take for bad ones."""
    texts = ["\n".join(example.talk) for example in read_examples(None)]
    texts += _blocks((CORPUS / "good.txt").read_text("utf-8"))
    return [raw_scene(text, number) for number, text in enumerate(texts)]


def later_scenes() -> list[RawScene]:
    """Good scenes that were written when the filters stood."""
    texts = _blocks((CORPUS / "good_later.txt").read_text("utf-8"))
    return [raw_scene(text, number) for number, text in enumerate(texts)]


def bad_scenes(name: str = "bad.txt") -> dict[str, list[RawScene]]:
    """Filter → the scenes that it should find."""
    found = {}
    for section in (CORPUS / name).read_text("utf-8").split("## ")[1:]:
        kind, _, rest = section.partition("\n")
        found[kind] = [raw_scene(text, number) for number, text in enumerate(_blocks(rest))]
    return found


def _blocks(text: str) -> list[str]:
    return [block.strip() for block in text.split("\n\n") if block.strip()]
