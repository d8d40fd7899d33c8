"""What an engine generates, as numbers: token ids, what was read, what its cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Prefilled, Step, Token

PATIENCE = 60.0
"""Seconds after which something hangs."""
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)


def tokens(steps: Sequence[Step] | Iterator[Step]) -> list[int]:
    return [step.id for step in steps if isinstance(step, Token)]


def counts(steps: Sequence[Step]) -> tuple[int, int]:
    (read,) = [step for step in steps if isinstance(step, Prefilled)]
    return read.evaluated, read.reused


def cache(engine: LlamaEngine) -> list[int]:
    return list(engine._cache.past)
