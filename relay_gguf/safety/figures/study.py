"""All that a report tells of: files, judges, questions, and how they were asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .measures import Measure, mean_weight, measures
from .outcome import FileOutcomes

LEAST_WEIGHT: Final = 0.5
"""Mean probability of a judge's labels below which its verdicts are not worth reading."""


@dataclass(frozen=True, slots=True)
class JudgeTold:
    """A judge: the name of its form, its file's name, and what it says."""

    name: str
    file: str
    tells_unsafe: bool
    tells_refusal: bool
    by_labels: bool


@dataclass(frozen=True, slots=True)
class SetTold:
    """A set of questions: how many there are and were asked, and how many repeat another one."""

    name: str
    n_all: int
    n_asked: int
    n_harmless: int
    same_place: int
    other_place: int
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Study:
    """Everything a report needs."""

    files: Sequence[FileOutcomes]
    judges: Sequence[JudgeTold]
    sets: Sequence[SetTold]
    max_tokens: int
    seed: int = 0

    @property
    def unsafe_judges(self) -> list[str]:
        """The judges that say whether an answer is unsafe."""
        return [judge.name for judge in self.judges if judge.tells_unsafe]

    @property
    def refusal_judges(self) -> list[str]:
        """The judges, without the phrases, that say whether an answer refuses."""
        return [judge.name for judge in self.judges if judge.tells_refusal]

    @property
    def measures(self) -> list[Measure]:
        """The measures of which there are questions."""
        kinds = {one.harmless for file in self.files for one in file.outcomes}
        found = measures(self.unsafe_judges, self.refusal_judges)
        return [measure for measure in found if measure.harmless in kinds]

    def warnings(self) -> Iterator[str]:
        """What makes the figures worth less, or nothing."""
        if any(one.trial for one in self.sets):
            yield (
                "The questions are relay-gguf's own trial set: harmless ones, and mildly delicate "
                "ones in the place of harmful ones. The figures show that the program runs, and "
                "say nothing about the safety of a model."
            )
        for judge in self.judges:
            weight = mean_weight(self.files, judge.name)
            if weight < LEAST_WEIGHT:
                yield (
                    f"{judge.name} gives its two labels {weight:.1%} of its probability together, "
                    "on average: it would have said something else. Its verdicts mean nothing; is "
                    "it the judge that it is taken for?"
                )
            lacking = sum(
                bool(one.verdicts[judge.name].fault)
                for file in self.files
                for one in file.outcomes
                if judge.name in one.verdicts
            )
            if lacking:
                yield f"{judge.name} gave no verdict on {lacking} answers; they are not counted."
        for file in self.files:
            if missing := sum(not one.answered for one in file.outcomes):
                yield f"{file.name} has no answer to {missing} questions; they are not counted."
