"""Question files in their published forms, questions that repeat, and samples by category."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hub_server import Handler, serving

from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.safety.questions.published import TABLE_OF, find_questions
from relay_gguf.safety.questions.question import Question, numbered, repeats
from relay_gguf.safety.questions.question_file import read_questions
from relay_gguf.safety.questions.stratified import sample

HARMFUL_QA = [
    {"id": 1, "topic": "Boats", "subtopic": "Oars", "question": "Why oars?", "blue": {"a": []}},
    {"id": 2, "topic": "Boats", "subtopic": "Sails", "question": " Why sails? ", "blue": {}},
]
CAT_QA = {"Boats": {"Oars:": ["Why oars?", "Which oars?"], "Sails": ["Why oars?"]}}
ROWS = [{"Category": "Boats", "Subcategory": "Oars", "Question": "Why oars?"}]
XSTEST = [
    {"id": "1", "type": "homonyms", "prompt": "Why?", "focus": "kill", "note": ""},
    {"id": "2", "type": "contrast_homonyms", "prompt": "How?", "focus": "kill", "note": ""},
]
LABELLED = [
    {"prompt": "Why?", "type": "homonyms", "label": "safe"},
    {"prompt": "How?", "type": "contrast_homonyms", "label": "unsafe"},
]


def table(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


OARS = ("Why oars?", "Boats", "Oars", False)
SAILS = ("Why sails?", "Boats", "Sails", False)
NESTED = [
    ("Why oars?", "Boats", "Oars:", False),
    ("Which oars?", "Boats", "Oars:", False),
    ("Why oars?", "Boats", "Sails", False),
]
CONTRAST = [("Why?", "homonyms", "", True), ("How?", "contrast_homonyms", "", False)]
FLAGGED = [("Why?", "", "", True), ("How?", "", "", False)]
PLAIN = [("Why?", "", "", False), ("How?", "", "", False)]
FORMS: dict[str, tuple[str, str, list[tuple[str, str, str, bool]]]] = {
    "HarmfulQA": ("q.json", json.dumps(HARMFUL_QA), [OARS, SAILS]),
    "its lines": ("q.json", "\n".join(map(json.dumps, HARMFUL_QA)), [OARS, SAILS]),
    "one line": ("q.jsonl", json.dumps(ROWS[0]) + "\n", [OARS]),
    "under a key": ("q.json", json.dumps({"data": ROWS}), [OARS]),
    "CatQA nested": ("q.json", json.dumps(CAT_QA), NESTED),
    "CatQA rows": ("q.jsonl", "\n".join(map(json.dumps, ROWS)), [OARS]),
    "CSV, BOM": ("q.csv", "\ufeff" + table(ROWS), [OARS]),
    "TSV": ("q.tsv", table(ROWS, "\t"), [OARS]),
    "XSTest": ("q.csv", table(XSTEST), CONTRAST),
    "with labels": ("q.csv", table(LABELLED), CONTRAST),
    "flags": ("q.csv", "question,harmful\nWhy?,no\nHow?,yes\n", FLAGGED),
    "a line each": ("q.txt", "# mine\nWhy?\n\n  How?  \n", PLAIN),
    "a list": ("q.json", '["Why?"]', [("Why?", "", "", False)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_published_forms_are_read(form: str, tmp_path: Path) -> None:
    name, text, expected = FORMS[form]
    (tmp_path / name).write_text(text, "utf-8")
    found = read_questions(tmp_path / name)
    assert [(q.text, q.category, q.subcategory, q.harmless) for q in found] == expected


def test_a_file_that_tells_no_flag_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("Why?\n")
    (tmp_path / "x.csv").write_text(table(LABELLED))
    assert read_questions(tmp_path / "q.txt", harmless=True)[0].harmless
    assert [q.harmless for q in read_questions(tmp_path / "x.csv", harmless=True)] == [True, False]


WRONG = {
    "no question": ("q.csv", "a,b\n1,2\n", "row 2 has no question (its columns are: a, b)"),
    "no row": ("q.csv", "question\n", "holds no question"),
    "a number": ("q.json", "7", "holds neither rows nor categories"),
    "a broken line": ("q.jsonl", '{"question": "a"}\nnonsense\n', "line 2 is not JSON"),
    "nested too deep": ("q.json", '{"a": {"b": {"c": []}}}', "'a' does not hold lists"),
    "an odd flag": ("q.csv", "question,harmless\nWhy?,maybe\n", "'maybe' as harmless"),
    "not text": ("q.txt", b"\xff\xfe\x00", "is not a file of questions"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_other_files_are_refused_with_a_reason(fault: str, tmp_path: Path) -> None:
    name, content, why = WRONG[fault]
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SettingsError) as caught:
        read_questions(tmp_path / name)
    assert why in str(caught.value)


def test_parquet_goes_through_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SettingsError, match="pip install pyarrow"):
        read_questions(tmp_path / "q.parquet")

    class Table:
        column_names = ("Question", "Category", "blue")

        def select(self, names: list[str]) -> Any:
            assert names == ["Question", "Category"]
            return SimpleNamespace(to_pylist=lambda: [{"Question": "Why?", "Category": "Boats"}])

    parquet = ModuleType("pyarrow.parquet")
    parquet.read_table = lambda path: Table()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    (found,) = read_questions(tmp_path / "q.parquet")
    assert (found.text, found.category) == ("Why?", "Boats")


def test_equal_questions_are_counted_and_have_keys_of_their_own() -> None:
    given = [
        ("Why oars?", "Oars:"),
        ("why  oars", "Oars"),
        ("Why oars?", "Sails"),
        ("How?", "Oars"),
    ]
    found = numbered(Question(text, "Boats", sub) for text, sub in [*given, given[0]])
    again = repeats(found)
    assert (again.same_place, again.other_place, again.total) == (2, 1, 3)
    assert len({question.key for question in found}) == 5
    assert [question.number for question in found] == [1, 1, 1, 1, 2]


def test_a_sample_has_each_categorys_share_and_is_the_same_for_a_seed() -> None:
    everything = [
        Question(f"{c}{i}", c) for c, n in (("a", 60), ("b", 30), ("c", 10)) for i in range(n)
    ]
    found = sample(everything, 20, seed=4)
    assert Counter(question.category for question in found) == {"a": 12, "b": 6, "c": 2}
    assert found == sample(everything, 20, seed=4) == [q for q in everything if q in set(found)]
    assert found != sample(everything, 20, seed=5)
    assert [len(sample(everything, n)) for n in (1, 7, 33, 99, 100, 500)] == [
        1,
        7,
        33,
        99,
        100,
        100,
    ]


def test_the_trial_set_is_half_harmless_and_in_categories() -> None:
    found = find_questions("trial")
    assert Counter(question.harmless for question in found) == {True: 12, False: 12}
    assert all(question.category and question.subcategory for question in found)
    assert repeats(found).total == 0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    cat_qa = json.dumps(CAT_QA).encode()
    files = {"data/catqa_english.json": cat_qa, "data/catqa_chinese.json": b"{}", "README.md": b"#"}
    lone = {"one.csv": table(LABELLED).encode(), "README.md": b"#"}
    repos = {"declare-lab/CategoricalHarmfulQA": files, "o/lone": lone, "o/two": files}
    with serving(repos, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


def test_a_data_set_of_the_hub_is_downloaded_once(hub: type[Handler], tmp_path: Path) -> None:
    assert set(TABLE_OF) == {"declare-lab/HarmfulQA", "declare-lab/CategoricalHarmfulQA"}
    found = find_questions("declare-lab/CategoricalHarmfulQA")
    assert [question.text for question in found] == ["Why oars?", "Which oars?", "Why oars?"]
    assert found[0].source == "declare-lab/CategoricalHarmfulQA"
    assert (tmp_path / "hf/hub/datasets--declare-lab--CategoricalHarmfulQA").is_dir()
    asked = len(hub.requests)
    assert (
        find_questions("https://huggingface.co/datasets/declare-lab/CategoricalHarmfulQA") == found
    )
    assert len(hub.requests) == asked
    assert [q.harmless for q in find_questions("o/lone")] == [True, False]
    for named, why in {
        "o/two": "o/two has no single table. It has: data/catqa_chinese.json, data/catqa_eng",
        "o/two/data/x.json": "o/two has no file data/x.json",
        "o/gone": "no repository datasets/o/gone on the hub",
    }.items():
        with pytest.raises(ModelError, match=why):
            find_questions(named)


@pytest.mark.parametrize("named", ["gone.csv", "a/../b", "tests/gone.csv"])
def test_a_file_that_is_not_there(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    with pytest.raises(SettingsError, match="There is no file"):
        find_questions(named)
