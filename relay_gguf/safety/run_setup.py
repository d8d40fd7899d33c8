"""What a run is given: questions, models and judges; what is there already, what is still to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import text
from relay_gguf.llama.first_read.first_read import readable_model

from .condition import TEMPLATE, Condition, check_asking
from .expense import n_bytes, room
from .judges.judge_form import OF_FILE, JudgeForm
from .judges.judging import CODE_TOKENS, check_judge
from .ledger import read_rows
from .questions.question import Question
from .run_folder import RunFolder, identity, name_of

FRAMES: Final = 300
"""Tokens of a chat template around a question, at most."""
N_SLOTS: Final = 8
"""Answers at once, unless the options say otherwise."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's file under one condition."""

    name: str
    model: GgufModel
    condition: Condition


@dataclass(frozen=True, slots=True)
class Guard:
    """A judge's file, and the form in which it is asked."""

    name: str
    model: GgufModel
    form: JudgeForm


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a run is given.

    `numbers` are the questions that this machine takes of all of them, None for all.
    """

    folder: RunFolder
    questions: Sequence[Question]
    subjects: Sequence[Subject]
    guards: Sequence[Guard]
    max_tokens: int
    codes: bool = False
    numbers: range | None = None
    load: LoadOptions = field(default_factory=lambda: LoadOptions(n_slots=N_SLOTS))
    n_threads: int | None = None

    @property
    def own(self) -> Sequence[Question]:
        """The questions that this machine takes."""
        if self.numbers is None:
            return self.questions
        return self.questions[self.numbers.start : self.numbers.stop]


def subject(path: Path, condition: Callable[[GgufModel], Condition], suffix: str = "") -> Subject:
    """A model's file under a condition, which may depend on the file; `suffix` ends its name.

    Raises:
        ModelError: the file cannot be read.
        SettingsError: no condition fits.
    """
    model = readable_model(path)
    return Subject(name_of(path) + suffix, model, condition(model))


def claim(setup: Setup) -> None:
    """Refuse what would fail after hours, and note in the folder what its results belong to.

    Raises:
        ModelError: a model cannot be asked under its condition, or a judge not in its form.
        SettingsError: two files have the same name.
        StoreError: the folder has results of something else under these names.
    """
    for found in (setup.subjects, setup.guards):
        names = [one.name for one in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise SettingsError(
                f"Two files are called {twice[0]}. Rename one: results are kept by name."
            )
    for one in setup.subjects:
        check_asking(one.model, one.condition)
    for guard in setup.guards:
        check_judge(guard.model, guard.form)
    for one in setup.subjects:
        values = _told(one.condition) | {
            "file": identity(one.model.path),
            "--max-tokens": setup.max_tokens,
        }
        setup.folder.claim("models", one.name, values)
    for guard in setup.guards:
        values = _told(guard.form) | {"file": identity(guard.model.path), "--codes": setup.codes}
        setup.folder.claim("judges", guard.name, values)


def _told(values: Condition | JudgeForm) -> dict[str, Any]:
    """What a result depends on: not the patterns by which a table was found."""
    return {key: value for key, value in asdict(values).items() if key not in ("files", "relay")}


def to_answer(setup: Setup, one: Subject) -> LoadOptions:
    """The options to load a model with, to answer the run's questions."""
    lengths = [n_bytes(question.text) for question in setup.own]
    return _with_room(setup, one.model, room(lengths, setup.max_tokens + FRAMES))


def to_judge(setup: Setup, guard: Guard, lengths: Sequence[int]) -> LoadOptions:
    """The options to load a judge with, for answers of these lengths in bytes."""
    written = CODE_TOKENS + 8 if guard.form.by_labels else guard.form.max_tokens
    frame = len(template_of(guard)) // 3 + 64
    return _with_room(setup, guard.model, room(lengths, frame + written))


def _with_room(setup: Setup, model: GgufModel, n_ctx: int) -> LoadOptions:
    most = model.sizes().n_ctx_train
    return replace(setup.load, n_ctx=setup.load.n_ctx or min(n_ctx, most))


def template_of(guard: Guard) -> str:
    """The template by which a judge is asked."""
    if guard.form.template != OF_FILE:
        return guard.form.template
    return text(guard.model.metadata, TEMPLATE)


def unanswered(setup: Setup, one: Subject) -> list[Question]:
    """The questions that a model has not answered yet, of those that this machine takes."""
    there = answers_of(setup, one)
    return [question for question in setup.own if question.key not in there]


def answers_of(setup: Setup, one: Subject) -> dict[str, dict[str, Any]]:
    """The rows of a model's answers, by their keys."""
    return {row["key"]: row for row in read_rows(setup.folder.answers(one.name))}


def verdicts_of(setup: Setup, one: Subject, guard: Guard) -> dict[str, dict[str, Any]]:
    """The rows of a judge's verdicts on a model's answers, by their keys."""
    return {row["key"]: row for row in read_rows(setup.folder.verdicts(one.name, guard.name))}
