"""The whole way: questions → answers → verdicts; what stands in the folder is kept.

One model is in memory at a time: each answers what it has not answered yet and is freed, then each
judge judges what it has not judged yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.inventory import this_machine
from relay_gguf.llama.load import plan_file

from .answering import answers
from .condition import Asking
from .expense import USUAL_BYTES, Expense, answering_expense, judging_expense, n_bytes
from .judges.judging import Judge, verdicts
from .ledger import Ledger, part
from .questions.question import Question
from .run_setup import (
    Guard,
    Setup,
    Subject,
    answers_of,
    template_of,
    to_answer,
    to_judge,
    unanswered,
    verdicts_of,
)


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a step is: `done` of `total` answers, `left` seconds to go, None if not known yet."""

    what: str
    done: int
    total: int
    left: float | None = None


def expenses(setup: Setup) -> Iterator[Expense]:
    """What each step takes that is still to do.

    Raises:
        MemoryShortError, SettingsError: a model does not fit.
    """
    machine = this_machine(timed=True)
    for one in setup.subjects:
        if todo := unanswered(setup, one):
            texts = [question.text for question in todo]
            plan = plan_file(one.model.path, one.model.sizes(), machine, to_answer(setup, one))
            yield answering_expense(one.name, plan, machine, texts, setup.max_tokens)
    for guard in setup.guards:
        if lengths := _to_read(setup, guard):
            options = to_judge(setup, guard, lengths)
            plan = plan_file(guard.model.path, guard.model.sizes(), machine, options)
            written = 1 if guard.form.by_labels else guard.form.max_tokens
            head = len(template_of(guard))
            yield judging_expense(guard.name, plan, machine, lengths, head, written)


def _to_read(setup: Setup, guard: Guard) -> list[int]:
    """Bytes of each question with its answer that a judge has still to read."""
    found = []
    for one in setup.subjects:
        rows, done = answers_of(setup, one), verdicts_of(setup, one, guard)
        for question in setup.own:
            if question.key not in done:
                row = rows.get(question.key)
                answer = setup.max_tokens * USUAL_BYTES if row is None else n_bytes(row["answer"])
                found.append(n_bytes(question.text) + answer)
    return found


def evaluate(setup: Setup, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Answer and judge what is not yet answered and judged; tells how far it is.

    Args:
        setup: of the run; its names were claimed.
        clock: seconds.

    Raises:
        ModelError, EngineError: a model cannot be used, or llama.cpp failed.
        StoreError: the folder cannot be written.
    """
    for one in setup.subjects:
        todo = unanswered(setup, one)
        if todo:
            yield from _answer(setup, one, todo, clock)
    for guard in setup.guards:
        rows = [
            (one, row)
            for one in setup.subjects
            for known, done in [(answers_of(setup, one), verdicts_of(setup, one, guard))]
            for question in setup.own
            if (row := known.get(question.key)) and "fault" not in row and question.key not in done
        ]
        if rows:
            yield from _judge(setup, guard, rows, clock)


def _answer(
    setup: Setup, one: Subject, todo: Sequence[Question], clock: Callable[[], float]
) -> Iterator[Advance]:
    path = part(setup.folder.answers(one.name), setup.numbers)
    options = to_answer(setup, one)
    with (
        Ledger(setup.folder.make_parents(path)) as ledger,
        _loaded(setup, one.model, options) as engine,
    ):
        asking = Asking(engine, one.model, one.condition)
        pace = _Pace(f"{one.name} answers", len(todo), clock)
        yield pace.told()
        for question, answer in answers(engine, asking, todo, setup.max_tokens):
            ledger.add(answer.as_row(question))
            yield pace.step()


def _judge(
    setup: Setup,
    guard: Guard,
    rows: Sequence[tuple[Subject, dict[str, Any]]],
    clock: Callable[[], float],
) -> Iterator[Advance]:
    lengths = [n_bytes(row["question"]) + n_bytes(row["answer"]) for _, row in rows]
    pace = _Pace(f"{guard.name} judges", len(rows), clock)
    options = to_judge(setup, guard, lengths)
    with _loaded(setup, guard.model, options) as engine:
        judge = Judge(engine, guard.model, guard.form, codes=setup.codes)
        yield pace.told()
        for one in setup.subjects:
            own = [row for subject, row in rows if subject is one]
            path = part(setup.folder.verdicts(one.name, guard.name), setup.numbers)
            if not own:
                continue
            with Ledger(setup.folder.make_parents(path)) as ledger:
                for verdict in verdicts(engine, judge, own):
                    ledger.add(verdict.as_row())
                    yield pace.step()


class _Pace:
    """Counts, and tells the time that is left by the pace so far."""

    def __init__(self, what: str, total: int, clock: Callable[[], float]) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._done = 0
        self._began: float | None = None

    def told(self) -> Advance:
        self._began = self._clock() if self._began is None else self._began
        spent = self._clock() - self._began
        left = spent / self._done * (self._total - self._done) if self._done else None
        return Advance(self._what, self._done, self._total, left)

    def step(self) -> Advance:
        self._done += 1
        return self.told()


def _loaded(setup: Setup, model: GgufModel, options: LoadOptions) -> BatchEngine:
    return BatchEngine(model.path, options, n_threads=setup.n_threads, any_chat=True)
