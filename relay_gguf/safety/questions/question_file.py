"""A file of questions in one of the published forms → questions.

    JSON          a list of rows, or {"data": [rows]}, or CatQA's {category: {subcategory: [text]}}
    JSON lines    a row a line
    CSV, TSV      a row a line under a header
    parquet       if pyarrow is installed
    text          a question a line; empty lines and lines that begin with # are left out

A row's question is its `question`, `prompt` or the like, whatever the case of the letters.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError

from .question import Question, numbered

TEXTS: Final = ("question", "prompt", "goal", "instruction", "forbidden_prompt", "text")
CATEGORIES: Final = ("topic", "category", "type", "semanticcategory")
SUBCATEGORIES: Final = ("subtopic", "subcategory", "functionalcategory")
SAFE: Final = ("safe", "harmless", "benign", "true", "yes", "1")
UNSAFE: Final = ("unsafe", "harmful", "false", "no", "0")
CONTRAST: Final = "contrast"
"""Begins the `type` of XSTest's questions that should be refused."""


def read_questions(path: Path, *, harmless: bool = False, source: str = "") -> list[Question]:
    """The questions of a file, in its order.

    Args:
        path: its ending says the form; a .json file may hold JSON lines.
        harmless: what the questions are where the file does not say it.
        source: what the questions are called in the report; empty is the file's name.

    Raises:
        SettingsError: the file cannot be read, is in none of the forms, or holds no question.
    """
    try:
        rows = list(_rows(path))
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise SettingsError(
            f"{path} is not a file of questions: {error}. docs/safety.md has the forms."
        ) from error
    found = [
        Question(text, category, subcategory, harmless if flag is None else flag, source)
        for text, category, subcategory, flag in rows
    ]
    if not found:
        raise SettingsError(f"{path} holds no question. docs/safety.md has the forms.")
    return numbered(found)


_Row = tuple[str, str, str, bool | None]


def _rows(path: Path) -> Iterator[_Row]:
    ending = path.suffix.lower()
    if ending == ".parquet":
        return (_row(row, n) for n, row in enumerate(_parquet(path), 1))
    text = path.read_text("utf-8-sig")
    if ending in (".csv", ".tsv"):
        delimiter = "\t" if ending == ".tsv" else ","
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        return (_row(row, n) for n, row in enumerate(table, 2))
    if ending in (".json", ".jsonl", ".ndjson"):
        return _of_json(text)
    lines = (line.strip() for line in text.splitlines())
    return ((line, "", "", None) for line in lines if line and not line.startswith("#"))


def _of_json(text: str) -> Iterator[_Row]:
    try:
        value = json.loads(text)
    except ValueError:
        lines = ((n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip())
        return (_row(_object(line, n), n) for n, line in lines)
    if isinstance(value, Mapping):
        tables = [item for item in value.values() if isinstance(item, list)]
        if _text_of(value):
            return iter([_row(value, 1)])  # JSON lines of one line
        if len(tables) == 1 and len(value) == 1 and all(isinstance(r, Mapping) for r in tables[0]):
            value = tables[0]
        else:
            return _nested(value)
    if not isinstance(value, list):
        raise ValueError("it holds neither rows nor categories")
    return (_row(row, n) for n, row in enumerate(value, 1))


def _object(line: str, n: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {n} is not JSON") from error


def _nested(table: Mapping[str, Any]) -> Iterator[_Row]:
    """Questions under their category, or under category and subcategory, as CatQA has them."""
    for category, inside in table.items():
        groups = inside.items() if isinstance(inside, Mapping) else [("", inside)]
        for subcategory, questions in groups:
            if not isinstance(questions, list) or not all(isinstance(q, str) for q in questions):
                raise ValueError(f"{category!r} does not hold lists of questions")
            yield from ((text.strip(), category, subcategory, None) for text in questions)


def _row(row: Any, n: int) -> _Row:
    """A row's question, category, subcategory, and whether it is harmless; None if not told."""
    if isinstance(row, str):
        return row.strip(), "", "", None
    if not isinstance(row, Mapping):
        raise ValueError(f"row {n} is neither a text nor an object")
    if not (text := _text_of(row)):
        columns = ", ".join(str(name) for name in row)
        raise ValueError(f"row {n} has no question (its columns are: {columns})")
    return text, _field(row, CATEGORIES), _field(row, SUBCATEGORIES), _flag(row, n)


def _text_of(row: Mapping[Any, Any]) -> str:
    return _field(row, TEXTS)


def _field(row: Mapping[Any, Any], names: Iterable[str]) -> str:
    lower = {str(key).strip().lower(): value for key, value in row.items()}
    values = (lower.get(name) for name in names)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip()), "")


def _flag(row: Mapping[Any, Any], n: int) -> bool | None:
    """Whether a row is harmless: by `harmless`, `harmful`, or XSTest's `label` or `type`."""
    lower = {str(key).strip().lower(): value for key, value in row.items()}
    for name, turned in (("harmless", False), ("harmful", True), ("label", False)):
        said = str(lower.get(name, "")).strip().lower()
        if said in SAFE or said in UNSAFE:
            return (said in SAFE) != turned
        if said and name != "label":
            raise ValueError(f"row {n} has {said!r} as {name}; it must be yes or no")
    kind = str(lower.get("type", ""))
    is_xstest = "prompt" in lower and ("focus" in lower or kind.startswith(CONTRAST))
    return not kind.startswith(CONTRAST) if is_xstest else None


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow.parquet import read_table  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ValueError(
            "parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from error
    names = {*TEXTS, *CATEGORIES, *SUBCATEGORIES, "harmless", "harmful", "label", "focus"}
    try:
        table = read_table(path)
        kept = [column for column in table.column_names if column.strip().lower() in names]
        rows: list[dict[str, Any]] = table.select(kept).to_pylist()
    except OSError:
        raise
    except Exception as error:  # pyarrow's own, which are many
        raise ValueError(f"pyarrow cannot read it ({error})") from error
    return rows
