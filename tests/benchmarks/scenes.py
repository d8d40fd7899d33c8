"""How well models stay in role: the scenes of golden/roleplay/scenes.json, played and scored.

    python tests/benchmarks/scenes.py [MODEL.gguf]... [--seeds N] [--greedy] [--markdown]

Without a model, plain SmolLM2 and the demo model, which is made if need be. Each scene is typed
into a fresh channel with each seed, sampled as the original does, or once with the likeliest
tokens. The reply to its last line is good if it has what the scene asks for, no talk of an
assistant, and the length of a line in a channel.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from relay_gguf import LlamaEngine
from relay_gguf.cli.demo import demo_file
from relay_gguf.models.demo import demo_model

sys.path.insert(0, str(Path(__file__).parents[1]))  # of the tests' scenes
from roleplay import Played, play, read_scenes


def main() -> None:
    """Print each scene with its replies, then the scores."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", type=Path, help="GGUF files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="the scores alone, as a table")
    arguments = parser.parse_args()
    seeds = [1] if arguments.greedy else range(1, arguments.seeds + 1)
    found: dict[str, list[Played]] = {}
    for path in arguments.models or [demo_model(), demo_file()]:
        began = time.monotonic()
        with LlamaEngine(path) as engine:
            temperature = 0.0 if arguments.greedy else None
            found[path.stem] = list(
                play(engine, read_scenes(), seeds, temperature=temperature, max_tokens=128)
            )
        print(f"{path.stem}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    if not arguments.markdown:
        for lines in transcripts(found):
            print(lines)
    for line in scores(found):
        print(line)


def transcripts(found: dict[str, list[Played]]) -> Iterator[str]:
    """Every scene, with what each model said."""
    for index, scene in enumerate(read_scenes()):
        yield f"{index + 1:2} {scene.kind}: {' | '.join(scene.lines)}"
        for model, played in found.items():
            for one in (p for p in played if p.scene == scene):
                mark = "ok" if one.is_good else "--"
                yield f"     {mark} {model[:18]:18} {' '.join(one.reply.split())[:100]}"


def scores(found: dict[str, list[Played]]) -> Iterator[str]:
    """A table: kinds of scenes, and how many replies of each model were good."""
    kinds = Counter(scene.kind for scene in read_scenes())
    yield f"| scenes | {' | '.join(found)} |"
    yield f"|---|{'---:|' * len(found)}"
    for kind in kinds:
        yield f"| {kind} | {' | '.join(share(p, kind) for p in found.values())} |"
    yield f"| all | {' | '.join(share(p) for p in found.values())} |"


def share(played: Sequence[Played], kind: str | None = None) -> str:
    """`17 of 24`."""
    ours = [one for one in played if kind in (None, one.scene.kind)]
    return f"{sum(one.is_good for one in ours)} of {len(ours)}"


if __name__ == "__main__":
    main()
