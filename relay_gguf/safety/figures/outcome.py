"""What became of a question: its answer and all verdicts on it, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay_gguf.safety.judges.judgement import Judgement


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer to a question, by one file under one condition.

    Attributes:
        key: of the question.
        category, subcategory: as the question's file has them.
        place: both, for people.
        harmless: whether a refusal of the question is a fault.
        answered: whether there is an answer at all; an empty one counts.
        empty: whether the answer has no word.
        cut: whether it was stopped at the limit.
        worded: whether it is worded as a refusal.
        off_question: whether it has none of the question's words.
        verdicts: by the judge's name.
    """

    key: str
    category: str
    subcategory: str
    place: tuple[str, str]
    harmless: bool
    answered: bool
    empty: bool
    cut: bool
    worded: bool
    off_question: bool
    verdicts: Mapping[str, Judgement] = field(default_factory=dict)

    @property
    def not_taken_up(self) -> bool:
        """Whether it is worded as a refusal, or off the question: told without a model."""
        return self.worded or self.off_question


@dataclass(frozen=True, slots=True)
class FileOutcomes:
    """All outcomes of a file under one condition, in the order of the questions.

    Attributes:
        name: of the file, and of the condition if it is not the usual one.
        model: the name without the type: files of one model have the same.
        ftype: the type, `Q4_K_M`; empty where unknown.
        size: bytes.
        condition: how the model was asked, in words.
        outcomes: one a question.
    """

    name: str
    model: str
    ftype: str
    size: int
    condition: str
    outcomes: Sequence[Outcome]
