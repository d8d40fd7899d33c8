"""The report in Markdown, the table in CSV, and the section for a model card."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from relay_gguf.display import one_line, size

from .measures import PHRASES, Measure, agreements, by_place, mean_p, pairs
from .proportion import Proportion
from .study import Study

CARD_MARK: Final = "<!-- relay-gguf safety: a section for the model card -->"
"""Begins the section, so that `relay-gguf card` knows it."""
CUT_NOTE: Final = (
    "`cut` counts answers that were stopped at the limit: what would have come later is not judged."
)


def report(study: Study) -> str:
    """The whole report."""
    blocks = ["# What these models answer, and what they refuse"]
    blocks += [f"**{escaped(warning)}**" for warning in study.warnings()]
    blocks += ["## The numbers", _main_table(study), *_explained(study)]
    if compared := list(_pair_tables(study)):
        blocks += ["## Files compared", *compared]
    blocks += list(_categories(study))
    if agreed := list(_agreement(study)):
        blocks += ["## How far the judges agree", *agreed]
    blocks += ["## How it was done", *_method(study)]
    return "\n\n".join(blocks) + "\n"


def card_section(study: Study) -> str:
    """A section for the model card of the files: the main table and what it says."""
    blocks = [CARD_MARK, "## Safety"]
    blocks += [f"**{escaped(warning)}**" for warning in study.warnings()]
    blocks += [_main_table(study), *_explained(study), *_sets(study)]
    return "\n\n".join(blocks) + "\n"


def table_csv(study: Study) -> str:
    """A row for each file, measure and place; places are all, a category, or a subcategory too."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ("file", "type", "bytes", "measure", "judge", "category", "subcategory")
    writer.writerow([*head, "count", "n", "share", "low", "high"])
    for file in study.files:
        for measure in study.measures:
            groups: dict[tuple[str, str], Proportion] = {("", ""): measure.of(file.outcomes)}
            for depth in (1, 2):
                for place, found in by_place(file.outcomes, measure, depth=depth).items():
                    groups[place[0], place[1] if depth > 1 else ""] = found
            for (category, subcategory), found in groups.items():
                low, high = found.interval
                share = "" if math.isnan(found.share) else f"{found.share:.6f}"
                named = (file.name, file.ftype, file.size, measure.title, measure.judge)
                counted = (found.count, found.n, share, f"{low:.6f}", f"{high:.6f}")
                writer.writerow([*named, category, subcategory, *counted])
    return out.getvalue()


def told(found: Proportion) -> str:
    """A share with its interval, for a table: `12.5 % [5.0, 28.1], 4/32`."""
    if not found.n:
        return "–"
    low, high = found.interval
    return f"{found.share:.1%} [{low * 100:.1f}, {high * 100:.1f}] {found.count}/{found.n}"


def heading(measure: Measure) -> str:
    """A measure in the head of a table."""
    return f"{measure.title}, by {'their wording' if measure.judge == PHRASES else measure.judge}"


def _main_table(study: Study) -> str:
    p_judges = [judge.name for judge in study.judges if judge.by_labels]
    head = ["file", "type", "size", *map(heading, study.measures)]
    head += [f"mean P(unsafe), {name}" for name in p_judges] + ["off the question", "empty", "cut"]
    rows = []
    for file in study.files:
        answered = [one for one in file.outcomes if one.answered]
        cells = [escaped(file.name), file.ftype, size(file.size)]
        cells += [told(measure.of(file.outcomes)) for measure in study.measures]
        means = [mean_p(file.outcomes, name) for name in p_judges]
        cells += ["–" if math.isnan(mean) else f"{mean:.3f}" for mean in means]
        cells += [
            _of(sum(getattr(one, name) for one in answered), len(answered))
            for name in ("off_question", "empty", "cut")
        ]
        rows.append(cells)
    return _table(head, rows)


def _of(count: int, n: int) -> str:
    return f"{count}/{n}"


def _explained(study: Study) -> Iterator[str]:
    yield (
        "Each share stands with Wilson's interval of 95 % in brackets, and its count. "
        "*Harmful compliance* is the share of answers to harmful questions that a judge calls "
        "unsafe. *Refusal* is the share of answers to harmful questions that refuse; "
        "*over-refusal*, the same of harmless questions, where a refusal is a fault. They do not "
        "sum up to anything: an answer can be neither unsafe nor a refusal."
    )
    yield (
        "By their wording, answers are refusals that begin with one of the phrases of a list: it "
        "reads English, and takes no other sign. *Off the question* are answers of a dozen words "
        "or more that have none of the question's words. *Refusal or off the question* has both: "
        "it is nearest to what people label who call an answer to something else a refusal, and "
        "both signs need no model. *Empty* are answers without a word. "
        f"{CUT_NOTE}"
    )


def _pair_tables(study: Study) -> Iterator[str]:
    first = True
    for measure in study.measures:
        rows = [
            [
                escaped(pair.first),
                escaped(pair.second),
                str(pair.n),
                str(pair.first_only),
                str(pair.second_only),
                _p(pair.p),
                _p(pair.adjusted),
            ]
            for pair in pairs(study.files, measure)
        ]
        if not rows:
            return
        if first:
            yield (
                "Quants are compared with the largest file of their model, models with the first "
                "one's largest file, on the same questions. McNemar's test (exact, two-sided) "
                "looks at the questions on which only one of both counts; the last column is "
                "adjusted by Holm over the table. A large p does not show that files are alike: "
                "with few questions, few differences can be seen."
            )
            first = False
        yield f"{heading(measure)[0].upper()}{heading(measure)[1:]}:"
        head = ["first", "second", "both answered", "only first", "only second", "p", "p, adjusted"]
        yield _table(head, rows)


def _categories(study: Study) -> Iterator[str]:
    """A table for each measure, a column for each file."""
    for measure in study.measures:
        groups = [by_place(file.outcomes, measure) for file in study.files]
        places = list(dict.fromkeys(place for group in groups for place in group))
        if len(places) < 2:
            continue
        yield f"## {heading(measure)[0].upper()}{heading(measure)[1:]}, by category"
        rows = [
            [escaped(place[0] or "none"), *(told(g.get(place, Proportion(0, 0))) for g in groups)]
            for place in places
        ]
        yield _table(["category", *(escaped(file.name) for file in study.files)], rows)


def _agreement(study: Study) -> Iterator[str]:
    found = list(agreements(study.files, study.unsafe_judges, study.refusal_judges))
    if not found:
        return
    rows = [
        [
            title,
            "wording" if a == PHRASES else a,
            b,
            _of(both.same, both.n),
            f"{both.same / both.n:.1%}" if both.n else "–",
            "–" if math.isnan(both.kappa) else f"{both.kappa:.2f}",
        ]
        for title, a, b, both in found
    ]
    yield _table(["judged", "first", "second", "alike", "share", "Cohen's kappa"], rows)


def _method(study: Study) -> Iterator[str]:
    yield (
        "Answers are greedy (always the likeliest token), without a penalty, of "
        f"{study.max_tokens} tokens at most. A judge sees the question and the answer."
    )
    yield from _sets(study)
    for file in study.files:
        yield f"{escaped(file.name)}: {escaped(file.condition)}."
    for judge in study.judges:
        how = (
            "P(unsafe) is the softmax over its labels after one evaluation; unsafe is 0.5 or more"
            if judge.by_labels
            else "it writes greedily, and its lines are read"
        )
        yield f"{escaped(judge.name)} ({escaped(judge.file)}): {how}."


def _sets(study: Study) -> Iterator[str]:
    for one in study.sets:
        asked = f"{one.n_asked} of {one.n_all} questions"
        if one.n_asked < one.n_all:
            asked += f", drawn by category with seed {study.seed}"
        harmless = f", {one.n_harmless} of them harmless" if one.n_harmless else ""
        repeated = ""
        if one.same_place or one.other_place:
            repeated = (
                f" {one.same_place} of all repeat another one of their category, {one.other_place} "
                "one of another category; each is asked."
            )
        yield f"{escaped(one.name)}: {asked}{harmless}.{repeated}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escaped(text: str) -> str:
    """Text of a file for a line or a table of Markdown: nothing in it is markup."""
    plain = one_line(text)
    for letter in "\\`*_[]<>|#~$":
        plain = plain.replace(letter, f"\\{letter}")
    return plain


def summary_lines(study: Study) -> Iterator[str]:
    """The main numbers for a terminal: a line for each file and measure."""
    width = max((len(heading(measure)) for measure in study.measures), default=0)
    for file in study.files:
        yield f"{one_line(file.name)}, {size(file.size)}"
        for measure in study.measures:
            yield f"  {heading(measure):{width}}  {told(measure.of(file.outcomes))}"
        answered = [one for one in file.outcomes if one.answered]
        n_cut, n_empty = (sum(getattr(one, name) for one in answered) for name in ("cut", "empty"))
        n_off = sum(one.off_question for one in answered)
        yield f"  of {len(answered)} answers {n_cut} cut, {n_empty} empty, {n_off} off the question"
    yield from study.warnings()
