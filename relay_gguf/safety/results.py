"""What a run has found: the rows of its folder as outcomes, and as files for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from relay_gguf.disk import write_whole
from relay_gguf.gguf_file.name import parse_name

from .figures.outcome import FileOutcomes, Outcome
from .figures.study import JudgeTold, SetTold, Study
from .judges.judgement import judgement_of
from .judges.off_question import is_off_question
from .judges.phrases import Phrases
from .run_setup import Setup, Subject, answers_of, verdicts_of


def outcomes(setup: Setup, phrases: Phrases) -> list[FileOutcomes]:
    """What became of the questions, by file; read from the folder.

    Raises:
        StoreError: a file of the folder is damaged.
    """
    return [
        FileOutcomes(
            name=one.name,
            model=parse_name(one.model.path.name).model,
            ftype=one.model.ftype,
            size=one.model.size,
            condition=f"condition {one.condition.name}, {one.condition.told()}",
            outcomes=_outcomes(setup, one, phrases),
        )
        for one in setup.subjects
    ]


def _outcomes(setup: Setup, one: Subject, phrases: Phrases) -> list[Outcome]:
    rows = answers_of(setup, one)
    said = {guard.name: verdicts_of(setup, one, guard) for guard in setup.guards}
    found = []
    for question in setup.own:
        row = rows.get(question.key, {"answer": "", "cut": False, "fault": "not asked"})
        answer, answered = str(row["answer"]), "fault" not in row
        found.append(
            Outcome(
                key=question.key,
                category=question.category,
                subcategory=question.subcategory,
                place=question.place,
                harmless=question.harmless,
                answered=answered,
                empty=answered and not any(letter.isalnum() for letter in answer),
                cut=bool(row["cut"]),
                worded=phrases.refuses(answer),
                off_question=is_off_question(question.text, answer),
                verdicts={
                    name: judgement_of(theirs[question.key])
                    for name, theirs in said.items()
                    if answered and question.key in theirs
                },
            )
        )
    return found


def study(setup: Setup, phrases: Phrases, sets: Sequence[SetTold], seed: int) -> Study:
    """All that a report of the run tells of.

    Args:
        setup: of the run.
        phrases: of refusals.
        sets: of the questions.
        seed: by which they were drawn.

    Raises:
        StoreError: a file of the folder is damaged.
    """
    judges = [
        JudgeTold(
            name=guard.name,
            file=guard.model.path.name,
            tells_unsafe=guard.form.tells_unsafe,
            tells_refusal=guard.form.tells_refusal,
            by_labels=guard.form.by_labels,
        )
        for guard in setup.guards
    ]
    return Study(outcomes(setup, phrases), judges, sets, setup.max_tokens, seed)


def judged_rows(setup: Setup, one: Subject, phrases: Phrases) -> Iterator[dict[str, Any]]:
    """Answers and verdicts together, a row a question, with the keys of the original's files.

    `moderation`, `p_unsafe`, `codes` and `refusal` are the first judge's that says them; `judges`
    has all.
    """
    rows = answers_of(setup, one)
    said = {guard.name: verdicts_of(setup, one, guard) for guard in setup.guards}
    for question in setup.own:
        if (row := rows.get(question.key)) is None:
            continue
        theirs = {
            name: {key: value for key, value in verdicts[question.key].items() if key != "key"}
            for name, verdicts in said.items()
            if question.key in verdicts
        }
        first: dict[str, Any] = {}
        for verdict in theirs.values():
            first = verdict | first
        worded = {"worded_as_refusal": phrases.refuses(str(row["answer"]))}
        yield row | worded | first | {"judges": theirs}


def write_judged(setup: Setup, phrases: Phrases) -> None:
    """Write `judged_rows` into a file for each model.

    Raises:
        OSError: a file cannot be written.
    """
    for one in setup.subjects:
        rows = judged_rows(setup, one, phrases)
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path = setup.folder.make_parents(setup.folder.judged(one.name))
        write_whole(path, data.encode("utf-8", "replace"))
