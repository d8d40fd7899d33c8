"""How long a person waits for the first token: a line read ahead, a scene that goes on.

    python tests/benchmarks/waits.py [MODEL.gguf] [--rounds N] [--scene TOKENS]

Messages of 10, 50 and 200 tokens after a scene of 300, with and without reading ahead, in turns;
`key` is the longest that a pause in typing holds the keyboard up. Then a scene of many tokens that
an engine left on the disk, gone on with by a new engine, and read by one without the file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Prefilled
from relay_gguf.models.demo import demo_model

PARAMS = SamplingParams(temperature=0, max_tokens=1)
TEXT = "The ships left the harbour before the tide, and nobody on the pier said a word about it. "
SCENE = 300
PAUSE = 0.3
"""Seconds between Enter and the last key at which a line was read."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=demo_model())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scene", type=int, default=3000)
    arguments = parser.parse_args()
    psutil.cpu_percent()
    print("| message, tokens | read at once, s | read ahead, s | evaluated then | key, ms |")
    print("|---:|---:|---:|---:|---:|")
    with LlamaEngine(arguments.model) as engine:
        ids = engine.tokenize(TEXT * 300)
        for size in (10, 50, 200):
            print(ahead(engine, ids[:SCENE], ids[SCENE : SCENE + size], arguments.rounds))
    print()
    print("| a scene of | first token, s | evaluated | left on the disk, s | MiB |")
    print("|---|---:|---:|---:|---:|")
    for row in resumed(arguments.model, ids[: arguments.scene]):
        print(row)
    print(f"\nThe processor was busy to {psutil.cpu_percent():.0f} %, this program included.")


def first_token(engine: LlamaEngine, prompt: Sequence[int]) -> tuple[float, int]:
    """Seconds to the first token, and tokens of the prompt that were evaluated."""
    began = time.perf_counter()
    (read,) = (s for s in engine.generate(prompt, PARAMS) if isinstance(s, Prefilled))
    return time.perf_counter() - began, read.evaluated


def ahead(engine: LlamaEngine, scene: list[int], message: list[int], rounds: int) -> str:
    """A row: the medians of both ways, after the same scene."""
    plain, read, held, evaluated = [], [], [], 0
    end = engine.tokenize("!")
    for _ in range(rounds):
        first_token(engine, scene)
        plain.append(first_token(engine, [*scene, *message, *end])[0])
        first_token(engine, scene)
        for stop in (len(message) // 2, len(message)):  # two pauses while it is typed
            began = time.perf_counter()
            engine.prepare([*scene, *message[:stop], 0])
            held.append(time.perf_counter() - began)
            time.sleep(PAUSE + len(message) / 60)  # nobody types 60 tokens a second
        seconds, evaluated = first_token(engine, [*scene, *message, *end])
        read.append(seconds)
    return (
        f"| {len(message)} | {statistics.median(plain):.2f} | {statistics.median(read):.2f} "
        f"| {evaluated} | {max(held) * 1000:.1f} |"
    )


def resumed(model: Path, scene: list[int]) -> list[str]:
    """Rows: the scene read by an engine without a file, and gone on with from one."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        engine = LlamaEngine(model, contexts=folder)
        seconds, evaluated = first_token(engine, scene)
        began = time.perf_counter()
        engine.close()
        closing = time.perf_counter() - began
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        with LlamaEngine(model, contexts=folder) as again:
            then, few = first_token(again, [*scene, *scene[:1]])
    return [
        f"| {len(scene)} tokens, read | {seconds:.2f} | {evaluated} | {closing:.2f} | {size:.0f} |",
        f"| the same, gone on with | {then:.2f} | {few} | | |",
    ]


if __name__ == "__main__":
    main()
