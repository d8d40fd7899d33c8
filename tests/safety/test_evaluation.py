"""A whole run on tiny models: stopped, gone on with, in parts; and what the command prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from relay_gguf.cli.safety.advance import shown, told
from relay_gguf.cli.safety.safety import safety
from relay_gguf.display import duration
from relay_gguf.errors import ModelError, SettingsError, StoreError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.safety import evaluation
from relay_gguf.safety.condition import choose_condition, read_conditions
from relay_gguf.safety.evaluation import Advance, evaluate, expenses
from relay_gguf.safety.expense import room
from relay_gguf.safety.figures.safety_report import CARD_MARK, report
from relay_gguf.safety.figures.study import SetTold
from relay_gguf.safety.judges.judge_form import choose_form, read_judges
from relay_gguf.safety.judges.phrases import read_phrases
from relay_gguf.safety.ledger import Ledger
from relay_gguf.safety.questions.published import find_questions
from relay_gguf.safety.results import study
from relay_gguf.safety.run_folder import RunFolder
from relay_gguf.safety.run_setup import Guard, Setup, claim, subject

QUESTIONS = find_questions("trial")[8:16]


@pytest.fixture(scope="module")
def tiny(guard: Path) -> Path:
    """The guard itself as a model to be asked: it loads in no time, and its template will do."""
    path = guard.with_name("tiny-Q8_0.gguf")
    path.symlink_to(guard)
    return path


@pytest.fixture
def setup(tiny: Path, guard: Path, tmp_path: Path) -> Setup:
    known = read_conditions()
    model = read_gguf(guard)
    judge = Guard("llama-guard-3", model, choose_form(model, read_judges()))
    one = subject(tiny, lambda m: replace(choose_condition(m, known), system=""))
    return Setup(
        folder=RunFolder(tmp_path / "run"),
        questions=QUESTIONS,
        subjects=[one],
        guards=[judge],
        max_tokens=4,
        load=LoadOptions(n_slots=3),
        n_threads=1,
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_run_that_was_stopped_goes_on(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = setup.folder
    claim(setup)
    opened: list[str] = []
    loaded = evaluation._loaded

    def watched(*given: Any) -> Any:
        opened.append(given[1].path.name)
        return loaded(*given)

    monkeypatch.setattr(evaluation, "_loaded", watched)
    answers, verdicts = folder.answers("tiny-Q8_0"), folder.verdicts("tiny-Q8_0", "llama-guard-3")
    steps = evaluate(setup)
    list(islice(steps, 4))
    steps.close()  # type: ignore[attr-defined]
    there = len(rows(answers))
    assert 3 <= there < len(QUESTIONS)
    with answers.open("ab") as file:
        file.write(b'{"key": "torn')
    before = answers.read_bytes().rpartition(b"\n")[0]

    clock = count()
    found = list(evaluate(setup, clock=lambda: float(next(clock))))
    n = len(QUESTIONS)
    assert answers.read_bytes().startswith(before), "what stood there is kept"
    assert found[0] == Advance("tiny-Q8_0 answers", 0, n - there)
    assert found[-1] == Advance("llama-guard-3 judges", n, n, 0.0)
    assert {row["key"] for row in rows(answers)} == {question.key for question in QUESTIONS}
    assert len(rows(answers)) == len(rows(verdicts)) == n
    assert opened == ["tiny-Q8_0.gguf", "tiny-Q8_0.gguf", "llama-guard-3-tiny.gguf"]

    assert list(evaluate(setup)) == []
    assert list(expenses(setup)) == []
    assert len(opened) == 3, "nothing is loaded where nothing is to do"


def test_machines_take_ranges_and_the_last_one_puts_them_together(setup: Setup) -> None:
    for numbers in (range(0, 3), range(3, 8)):
        part = replace(setup, numbers=numbers)
        claim(part)
        list(evaluate(part))
    names = sorted(path.name for path in (setup.folder.path / "answers").iterdir())
    assert names == ["tiny-Q8_0.0-3.jsonl", "tiny-Q8_0.3-8.jsonl"]
    assert list(evaluate(setup)) == []
    found = study(setup, read_phrases(), [SetTold("trial", 24, 8, 4, 0, 0, trial=True)], 0)
    assert [one.key for one in found.files[0].outcomes] == [q.key for q in QUESTIONS]
    assert all(one.answered and one.verdicts for one in found.files[0].outcomes)
    assert "0/8" in report(found)


def test_a_long_answer_in_any_script_has_room_to_be_judged(setup: Setup) -> None:
    """The tiny guard has a token for each byte: no vocabulary needs more room."""
    claim(setup)
    folder = setup.folder
    with Ledger(folder.make_parents(folder.answers("tiny-Q8_0"))) as ledger:
        for question in QUESTIONS:
            row = {"question": question.text, "answer": "水は海へ流れる。" * 60, "cut": False}
            ledger.add({"key": question.key, **row})
    list(evaluate(setup))
    found = rows(folder.verdicts("tiny-Q8_0", "llama-guard-3"))
    assert len(found) == len(QUESTIONS)
    assert not any("fault" in row for row in found)


def test_other_settings_are_refused(setup: Setup) -> None:
    claim(setup)
    claim(setup)
    with pytest.raises(StoreError, match="results of tiny-Q8_0 with another --max-tokens"):
        claim(replace(setup, max_tokens=5))
    with pytest.raises(StoreError, match="results of llama-guard-3 with another --codes"):
        claim(replace(setup, codes=True))
    with pytest.raises(SettingsError, match="Two files are called tiny-Q8_0"):
        claim(replace(setup, subjects=setup.subjects * 2))


def test_what_cannot_run_is_refused_before_anything_is_asked(setup: Setup, guard: Path) -> None:
    (judge,), (one,) = setup.guards, setup.subjects
    wrong = replace(judge, form=replace(judge.form, unsafe="rude"))
    with pytest.raises(ModelError, match="'rude' is not a single token"):
        claim(replace(setup, guards=[wrong]))
    relay = replace(one, condition=replace(one.condition, name="relay", format="chatml"))
    with pytest.raises(ModelError, match="no ChatML tokens, which the condition relay needs"):
        claim(replace(setup, subjects=[relay]))
    assert not setup.folder.path.exists()


def test_a_question_longer_than_the_context_has_no_answer(setup: Setup) -> None:
    long = replace(QUESTIONS[0], text="Why? " * 200)
    small = replace(setup, questions=[long, QUESTIONS[1]], load=LoadOptions(n_ctx=768, n_slots=2))
    claim(small)
    list(evaluate(small))
    found = {row["key"]: row for row in rows(small.folder.answers("tiny-Q8_0"))}
    assert found[long.key]["fault"].startswith("the prompt has ")
    assert "fault" not in found[QUESTIONS[1].key]
    assert len(rows(small.folder.verdicts("tiny-Q8_0", "llama-guard-3"))) == 1
    outcomes = study(small, read_phrases(), [], 0).files[0].outcomes
    assert [one.answered for one in outcomes] == [False, True]


# The command


@pytest.fixture
def cli(tiny: Path, guard: Path, tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "c.toml").write_text("[mine]\nfiles = ['*']\n")

    app = typer.Typer()  # with this command alone: all of them take longer than the run
    app.command()(safety)

    def run(*arguments: str) -> Any:
        given = [str(tiny), "--out", str(tmp_path / "run"), "--max-tokens", "3", "--threads", "1"]
        given += ["--conditions", str(tmp_path / "c.toml"), "--slots", "3"]
        return CliRunner().invoke(app, [*given, *arguments])

    return run


def test_the_command_writes_its_files_and_prints_no_question(
    cli: Any, guard: Path, tmp_path: Path
) -> None:
    given = ["--questions", "trial", "--sample", "6", "--judge", str(guard)]
    done = cli(*given)
    assert done.exit_code == 0, done.output
    assert "harmful compliance, by llama-guard-3" in done.stdout
    assert "say nothing about the safety of a model" in done.stdout
    assert "of its probability together" in done.stdout
    assert "To do: tiny-Q8_0: 6 answers" in done.stderr
    texts = [question.text for question in find_questions("trial")]
    assert not any(text in done.output for text in texts)
    folder = tmp_path / "run"
    assert (folder / "safety.md").read_text().startswith(CARD_MARK)
    for name in ("report.md", "report.csv", "report.svg"):
        written = (folder / name).read_text()
        assert "harmful compliance" in written.lower()
        assert not any(text in written for text in texts)
    (row, *_) = rows(folder / "judged" / "tiny-Q8_0.jsonl")
    assert {"question", "answer", "moderation", "p_unsafe", "cut", "judges"} <= row.keys()

    shown = cli(*given, "--show")
    assert "To do" not in shown.stderr
    assert sum(text in shown.stdout for text in texts) == 6

    author = cli(*given, "--author")
    lines = author.stdout.splitlines()
    assert all(line.count(" > ") == 1 and line.count(",") == 2 for line in lines)
    assert sum(int(line.rpartition(",")[2]) for line in lines) == 6


def test_a_dry_run_tells_the_cost_and_writes_nothing(cli: Any, guard: Path, tmp_path: Path) -> None:
    done = cli("--questions", "trial", "--judge", str(guard), "--dry-run")
    assert done.exit_code == 0
    assert "tiny-Q8_0: 24 answers" in done.stderr
    assert "llama-guard-3: 24 answers" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Give --questions FILE or --harmless FILE"),
        (["--questions", "gone.csv"], "There is no file gone.csv"),
        (["--questions", "trial", "--range", "3:99"], "must be A:B, with 0 <= A < B <= 24"),
        (["--questions", "trial", "--range", "x"], "must be A:B"),
        (["--questions", "trial", "--author"], "--author counts what a judge calls unsafe"),
        (["--questions", "trial", "--as-chat"], "no model is a Relay"),
        (["--questions", "trial", "--condition", "x"], "no condition 'x'"),
    ],
)
def test_wrong_options_are_told_before_anything_runs(
    cli: Any, tmp_path: Path, arguments: list[str], why: str
) -> None:
    done = cli(*arguments)
    assert why in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_how_far_it_is_in_words() -> None:
    assert told(Advance("m answers", 3, 9, 7200.0)) == "m answers 3 of 9, 2.0 h left"
    assert told(Advance("m answers", 9, 9, 0.0)) == "m answers 9 of 9"
    assert [duration(n) for n in (5, 600, 10_000, 300_000)] == [
        "5 s",
        "10 min",
        "2.8 h",
        "3.5 days",
    ]
    assert [room([40], 100), room([3000], 356)] == [512, 3584]


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 0.0, 10.0, 31.0, 40.0, 41.0])
    steps = [Advance("m", n, 4) for n in range(5)]
    assert list(shown(steps, clock=lambda: next(clock))) == steps
    assert capsys.readouterr().err.splitlines() == ["m 0 of 4", "m 2 of 4", "m 4 of 4"]
