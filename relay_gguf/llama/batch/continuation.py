"""What a reply is asked for with, and what comes back step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay_gguf.engine import Step
from relay_gguf.sampling import SamplingParams

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt and how it is to be continued.

    `ends` are token ids that end the reply beside the model's own (the ChatML tokens and the end of
    text); like these they are not yielded. `until` is called with each token of the reply, on the
    thread that steps: when it returns True, that token is the last and the reason is `stop`.
    `look` is called on the same thread before each draw with the logits, (n_vocab,), which it may
    change, and must copy where it keeps them. `scored` is told the natural logarithm of each drawn
    token's probability there, also of one that ended the reply by itself: the model's own, over its
    whole vocabulary, before temperature, penalty, top-k, top-p, min-p and what `look` changed.
    """

    prompt: tuple[int, ...]
    params: SamplingParams = field(default_factory=SamplingParams)
    ends: frozenset[int] = frozenset()
    until: Callable[[int], bool] | None = None
    look: Callable[[Logits], None] | None = None
    scored: Callable[[float], None] | None = None


@dataclass(frozen=True, slots=True)
class SlotStep:
    """One step of the reply with this handle: the steps are those of a single engine."""

    handle: int
    step: Step
