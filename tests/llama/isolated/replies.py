"""A question as a prompt, and the ids of a model's greedy reply to it."""

from __future__ import annotations

from typing import Any

from relay_gguf.engine import Token
from relay_gguf.sampling import SamplingParams

GREEDY = SamplingParams(temperature=0, repeat_penalty=1, max_tokens=24, seed=1)


def prompt(engine: Any, text: str = "Tell me about the sea.") -> list[int]:
    start, end = engine.control.im_start, engine.control.im_end
    body = engine.tokenize(f"user\n{text}")
    return [start, *body, end, *engine.tokenize("\n"), start, *engine.tokenize("assistant\n")]


def said(engine: Any, params: SamplingParams = GREEDY) -> list[int]:
    steps = engine.generate(prompt(engine), params)
    return [step.id for step in steps if isinstance(step, Token)]
