"""Where the time of a reply's token goes, beside llama.cpp's evaluation alone.

    python tests/benchmarks/decoding/parts.py MODEL.gguf [--threads N] [--temperature T]

After each evaluation of ours the same token is evaluated once more at the same place, while nothing
else is done: that is the bare one. Both stand in the same milliseconds, so a busy machine slows
both down alike. Times are medians over all tokens, by the clock and by the thread's own use of the
CPU, which other programs do not lengthen. The engine's thread and the reader's, who takes the
tokens and their texts, are two: what the reader does goes on beside the next evaluation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from relay_gguf import SamplingParams
from relay_gguf.engine import Token
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama import generation
from relay_gguf.llama.draw.chooser import Chooser
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.llama.native import lib

PROMPT = (
    "<|im_start|>anon\n/join #boston<|im_end|>\n<|im_start|>user\nhi, what is everybody talking "
    "about tonight? the harbour was cold this morning.<|im_end|>\n<|im_start|>anon\ntell me a long "
    "story about it<|im_end|>\n<|im_start|>user\n"
)
PARTS = ("evaluation", "logits", "sampling")
"""What is timed within a token; the rest of the engine's thread is Python between them."""
Times = tuple[float, float]
"""Seconds of the clock, and of the thread on a CPU."""


def now() -> Times:
    """The time of this thread."""
    return time.perf_counter(), time.thread_time()


def since(began: Times, ended: Times) -> Times:
    """The time between."""
    return ended[0] - began[0], ended[1] - began[1]


class Stopwatch:
    """The times of each part, one for each of its calls."""

    def __init__(self) -> None:
        """Begin with none."""
        self.times: dict[str, list[Times]] = {}

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed as a part."""
        times = self.times.setdefault(part, [])

        @wraps(call)
        def measured(*args: Any) -> Any:
            began = now()
            result = call(*args)
            times.append(since(began, now()))
            return result

        return measured


@contextmanager
def watched(engine: LlamaEngine, watch: Stopwatch) -> Iterator[None]:
    """The engine with its parts timed, and a bare evaluation after each of its own."""
    held = engine._generation
    assert held is not None
    cache, model = held.cache, held.model
    evaluate = watch.timed("evaluation", cache.evaluate)
    again = watch.timed("bare evaluation", lib.llama_decode)
    tokens_began: list[Times] = []

    def twice(tokens: list[int]) -> bool:
        done: bool = evaluate(tokens)
        if tokens_began:
            watch.times.setdefault("token", []).append(since(tokens_began[-1], now()))
        if len(tokens) == 1:
            lib.llama_memory_seq_rm(model.memory, 0, len(cache.past) - 1, -1)
            again(model.ctx, cache._batch)
            tokens_began.append(now())
        return done

    before = cache.evaluate, generation.logits_of, Chooser.choose
    cache.evaluate = twice  # type: ignore[method-assign]
    generation.logits_of = watch.timed("logits", generation.logits_of)
    Chooser.choose = watch.timed("sampling", Chooser.choose)  # type: ignore[method-assign]
    try:
        yield
    finally:
        cache.evaluate, generation.logits_of, Chooser.choose = before  # type: ignore[method-assign]


def measure(path: Path, threads: int | None, replies: int, temperature: float) -> Stopwatch:
    """Let a model reply; where its time went."""
    total = Stopwatch()
    with LlamaEngine(path, LoadOptions(n_ctx=4096), n_threads=threads) as engine:
        bos = engine.control.bos
        ids = [*([] if bos is None else [bos]), *engine.tokenize(PROMPT)]
        for seed in range(replies):
            params = SamplingParams(temperature=temperature, max_tokens=96, seed=seed)
            watch, texts = Stopwatch(), []
            with watched(engine, watch):
                began = now()
                for step in engine.generate(ids, params):
                    if isinstance(step, Token):
                        texts.append(engine.piece(step.id))
                        watch.times.setdefault("reader", []).append(since(began, now()))
                        began = now()
            for part, times in watch.times.items():
                total.times.setdefault(part, []).extend(times[3:])
    return total


def main() -> None:
    """Measure a model, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--replies", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.3)
    given = parser.parse_args()
    found = measure(given.model, given.threads, given.replies, given.temperature).times
    clock, cpu = (
        {
            part: 1e6 * statistics.median(one[which] for one in times)
            for part, times in found.items()
        }
        for which in (0, 1)
    )
    clock.pop("reader")  # that is waiting, mostly
    for row in (clock, cpu):
        row["Python between"] = row["token"] - sum(row[part] for part in PARTS)
    print(f"{'':<20}{'clock, µs':>12}{'share':>8}{'CPU, µs':>12}")
    for part in (*PARTS, "Python between", "token", "bare evaluation", "reader"):
        told = f"{clock[part]:>12.0f}{clock[part] / clock['token']:>8.1%}" if part in clock else ""
        print(f"{part:<20}{told:<20}{cpu[part]:>12.0f}")
    ratio = clock["bare evaluation"] / clock["token"]
    print(f"{len(found['token'])} tokens; a bare evaluation takes {ratio:.3f} of a token")


if __name__ == "__main__":
    main()
