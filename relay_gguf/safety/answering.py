"""Questions → a model's answers, many at once: greedy, without a penalty."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from relay_gguf.engine import Finished, Token
from relay_gguf.errors import EngineError
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.sampling import SamplingParams

from .condition import Asking
from .questions.question import Question

MAX_TOKENS: Final = 256
"""Tokens of an answer at most: the original's."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to a question; `cut` says that it was stopped at the limit of tokens.

    `fault` says why there is no answer; it is empty where there is one.
    """

    key: str
    text: str
    n_tokens: int
    cut: bool
    fault: str = ""

    def as_row(self, question: Question) -> dict[str, Any]:
        """The answer as a row of a ledger, with its question."""
        return {
            "key": self.key,
            "source": question.source,
            "category": question.category,
            "subcategory": question.subcategory,
            "harmless": question.harmless,
            "question": question.text,
            "answer": self.text,
            "n_tokens": self.n_tokens,
            "cut": self.cut,
            **({"fault": self.fault} if self.fault else {}),
        }


def greedy(max_tokens: int) -> SamplingParams:
    """Always the likeliest token, whatever was said before."""
    return SamplingParams(
        temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0, max_tokens=max_tokens
    )


def answers(
    engine: BatchEngine, asking: Asking, questions: Iterable[Question], max_tokens: int = MAX_TOKENS
) -> Iterator[tuple[Question, Answer]]:
    """The answers, in the order in which they are ready.

    A question that is longer than the context gets an answer with a `fault`, and no text.

    Raises:
        EngineError: llama.cpp failed.
        ModelError: the chat template cannot be used.
    """

    def answer(question: Question) -> Answer:
        ids = asking.ids(question.text)
        if len(ids) + max_tokens > engine.n_ctx:
            why = f"the prompt has {len(ids)} tokens, and the context {engine.n_ctx}"
            return Answer(question.key, "", 0, False, why)
        tokens, reason = continued(engine, Continuation(tuple(ids), greedy(max_tokens)))
        return Answer(question.key, spelled(engine, tokens), len(tokens), reason != "stop")

    yield from completed(engine, questions, answer)


def continued(engine: BatchEngine, continuation: Continuation) -> tuple[list[int], str]:
    """The tokens of a continuation, and why it ended.

    Raises:
        EngineError: it was cancelled, or llama.cpp failed.
    """
    tokens, reason = [], ""
    for step in engine.ask(continuation).steps():
        if isinstance(step, Token):
            tokens.append(step.id)
        elif isinstance(step, Finished):
            reason = step.reason
    if reason == "cancelled":
        raise EngineError("The evaluation was stopped.")
    return tokens, reason


def spelled(engine: BatchEngine, tokens: Iterable[int]) -> str:
    """The text of tokens."""
    return b"".join(map(engine.piece, tokens)).decode("utf-8", "replace")


def completed(
    engine: BatchEngine, items: Iterable[Item], job: Callable[[Item], Result]
) -> Iterator[tuple[Item, Result]]:
    """What a job makes of each item, as it is ready; so many at once that all slots are busy.

    When the iterator is closed, or Ctrl-C comes, all that runs is cancelled.
    """
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    stopped = threading.Event()

    def run(item: Item) -> Result:
        if stopped.is_set():
            raise EngineError("The evaluation was stopped.")
        return job(item)

    with ThreadPoolExecutor(engine.n_slots) as pool:
        try:
            while True:
                for item in waiting:
                    running[pool.submit(run, item)] = item
                    if len(running) >= 2 * engine.n_slots:
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            stopped.set()
            if running:
                engine.cancel()
