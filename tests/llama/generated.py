"""What an engine generates, as numbers: token ids, what was read, what its cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Prefilled, Step, Token
from relay_gguf.llama.kv_cache import KvCache

PATIENCE = 60.0
"""Seconds after which something hangs."""
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)


def tokens(steps: Sequence[Step] | Iterator[Step]) -> list[int]:
    """The ids of the tokens among the steps."""
    return [step.id for step in steps if isinstance(step, Token)]


def counts(steps: Sequence[Step]) -> tuple[int, int]:
    """Tokens of the prompt that were evaluated, and that were reused."""
    (read,) = [step for step in steps if isinstance(step, Prefilled)]
    return read.evaluated, read.reused


def kv_cache_of(engine: LlamaEngine) -> KvCache:
    """The engine's own KV cache; only tests look into it, and only here."""
    return engine._runs.cache


def cache(engine: LlamaEngine) -> list[int]:
    """The token ids that the KV cache holds."""
    return list(kv_cache_of(engine).past)
