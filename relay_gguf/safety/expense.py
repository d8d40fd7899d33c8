"""How many tokens a run takes, and about how much time, told before it begins.

The time is an estimate by the memory's speed (`fit.speed`); while a run goes on, what is left is
told by what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay_gguf.display import duration, size
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.speed import tokens_per_second
from relay_gguf.machine.devices import Machine

USUAL_BYTES: Final = 4
"""Bytes of a token, about: times are reckoned with it; a room has a token for each byte."""
FRAME: Final = 60
"""Tokens of a chat template around a short question, about."""
TAIL: Final = 80
"""Tokens behind the answer in a judge's prompt, about."""
CPU_TOGETHER: Final = 2.0
"""How much faster a CPU writes many replies at once than one: 1.5 to 2.3 were measured."""
CPU_READING: Final = 2.5
"""How much faster a CPU reads than it writes a single reply."""
GPU_TOGETHER: Final = 0.6
"""The share of the slots by which a GPU is faster; and it reads `GPU_READING` times as fast."""
GPU_READING: Final = 30.0


@dataclass(frozen=True, slots=True)
class Expense:
    """What a step of a run takes: tokens that are read and written at most, and seconds, about."""

    what: str
    n_rows: int
    read: int
    written: int
    seconds: float
    memory: int

    def told(self) -> str:
        """The expense as a line."""
        each = self.seconds / self.n_rows if self.n_rows else 0.0
        return (
            f"{self.what}: {self.n_rows} answers, about {self.read:,} tokens to read and at most "
            f"{self.written:,} to write, {size(self.memory)} of memory, at most "
            f"{duration(self.seconds)} ({each:.1f} s each)"
        )


def answering_expense(
    what: str, plan: Plan, machine: Machine, questions: Sequence[str], max_tokens: int
) -> Expense:
    """What it takes to answer questions, if all answers reach the limit."""
    read = sum(n_bytes(text) // USUAL_BYTES + FRAME for text in questions)
    return _expense(what, plan, machine, len(questions), read, len(questions) * max_tokens)


def judging_expense(
    what: str,
    plan: Plan,
    machine: Machine,
    texts: Sequence[int],
    head: int,
    written: int,
) -> Expense:
    """What it takes to judge answers.

    Args:
        what, plan, machine: the judge's.
        texts: bytes of each question and its answer together.
        head: bytes of what all prompts begin with, which is read once.
        written: tokens that the judge writes of each.
    """
    read = sum(n // USUAL_BYTES + TAIL for n in texts) + head // USUAL_BYTES
    return _expense(what, plan, machine, len(texts), read, len(texts) * written)


def _expense(
    what: str, plan: Plan, machine: Machine, n_rows: int, read: int, written: int
) -> Expense:
    alone = tokens_per_second(plan, machine)
    n_slots = plan.settings.n_slots
    on_gpu = plan.settings.n_gpu_layers > 0
    together = max(1.0, GPU_TOGETHER * n_slots) if on_gpu else min(CPU_TOGETHER, float(n_slots))
    reading = GPU_READING if on_gpu else CPU_READING
    seconds = read / (alone * reading) + written / (alone * together)
    memory = sum(share.used for share in plan.shares)
    return Expense(what, n_rows, read, written, seconds, memory)


def room(texts: Sequence[int], beside: int) -> int:
    """Tokens that a context needs, a multiple of 256: whatever the vocabulary and the script are.

    Args:
        texts: bytes of each prompt's own part.
        beside: tokens of the rest: what is written, and what frames the prompt.
    """
    need = max(texts, default=0) + beside
    return max(512, -(-need // 256) * 256)


def n_bytes(text: str) -> int:
    """Bytes of a text in UTF-8: it has no more tokens in any vocabulary."""
    return len(text.encode("utf-8", "replace"))
