"""How a guard model is asked, and how its words are read: tables of judges.toml, and the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import text
from relay_gguf.toml import parse_toml, read_toml

from .judgement import Judgement

OF_FILE: Final = "file"
"""Stands for the template in the judge's own file."""


@dataclass(frozen=True, slots=True)
class JudgeForm:
    """How a judge is asked and read; see judges.toml for the fields."""

    name: str
    files: tuple[str, ...] = ()
    template: str = OF_FILE
    opening: str = ""
    safe: str = ""
    unsafe: str = ""
    codes: str = ""
    max_tokens: int = 64
    unsafe_line: str = ""
    unsafe_yes: tuple[str, ...] = ()
    unsafe_no: tuple[str, ...] = ()
    refusal_line: str = ""
    refusal_yes: tuple[str, ...] = ()
    refusal_no: tuple[str, ...] = ()
    codes_line: str = ""

    @property
    def by_labels(self) -> bool:
        """Whether one evaluation gives P(unsafe); else the judge writes lines."""
        return bool(self.safe)

    @property
    def tells_unsafe(self) -> bool:
        """Whether it says if an answer is unsafe."""
        return self.by_labels or bool(self.unsafe_line)

    @property
    def tells_refusal(self) -> bool:
        """Whether it says if an answer refuses."""
        return bool(self.refusal_line)


def read_judges(own: Path | None = None) -> list[JudgeForm]:
    """The user's forms, then the shipped ones.

    Raises:
        SettingsError: the user's file cannot be read, or a table of it is wrong.
    """
    shipped = parse_toml((files(__package__) / "judges.toml").read_text("utf-8"))
    tables = [] if own is None else [(own, read_toml(own))]
    return [
        _form(path, name, table)
        for path, found in [*tables, (Path("judges.toml"), shipped)]
        for name, table in found.items()
    ]


def _form(path: Path, name: str, table: Any) -> JudgeForm:
    where = f"{path}: [{name}]"
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path}: {name} must be a table, [{name}].")
    kinds = {field.name: field.type for field in fields(JudgeForm) if field.name != "name"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in kinds:
            raise SettingsError(f"{where} has an unknown key {key!r}; see docs/safety.md.")
        is_list = str(kinds[key]).startswith("tuple")
        strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
        right = strings if is_list else isinstance(value, int if key == "max_tokens" else str)
        if not right:
            raise SettingsError(f"{where} {key} has the wrong type; see docs/safety.md.")
        values[key] = tuple(value) if is_list else value
    form = JudgeForm(name, **values)
    if bool(form.safe) != bool(form.unsafe):
        raise SettingsError(f"{where} needs both labels, safe and unsafe.")
    if not form.tells_unsafe and not form.tells_refusal:
        raise SettingsError(f"{where} needs labels (safe, unsafe) or unsafe_line or refusal_line.")
    for key in ("unsafe_line", "refusal_line", "codes_line"):
        try:
            groups = re.compile(values.get(key, "()")).groups
        except re.error as error:
            raise SettingsError(f"{where} {key} is not a regular expression: {error}.") from error
        if not groups:
            raise SettingsError(f"{where} {key} needs a group, as in 'Refusal: (Yes|No)'.")
    return form


def choose_form(model: GgufModel, forms: list[JudgeForm], name: str = "") -> JudgeForm:
    """The form for a judge's file: the one that is named, or else the first that fits.

    Raises:
        SettingsError: there is none.
    """
    said = (model.path.name, text(model.metadata, "general.name"))
    names = ["-".join(one.lower().replace("_", " ").split()) for one in said]
    for form in forms:
        if form.name == name if name else _fits(form, names):
            return form
    known = ", ".join(dict.fromkeys(form.name for form in forms))
    what = f"There is no judge form {name!r}" if name else f"No judge form fits {model.path}"
    raise SettingsError(
        f"{what}; there are {known}. Give FILE=FORM, or a form of your own with --judges."
    )


def _fits(form: JudgeForm, names: list[str]) -> bool:
    patterns = [pattern.lower().replace("_", "-") for pattern in form.files]
    return any(fnmatchcase(name, pattern) for name in names if name for pattern in patterns)


def read_lines(form: JudgeForm, key: str, said: str) -> Judgement:
    """The verdict in a text that a judge wrote.

    A text without the lines that the form expects has a `fault`.
    """
    unsafe, heard = _label(form.unsafe_line, form.unsafe_yes, form.unsafe_no, said)
    refusal, also = _label(form.refusal_line, form.refusal_yes, form.refusal_no, said)
    codes = re.search(form.codes_line, said) if form.codes_line else None
    missing = (form.unsafe_line and not heard) or (form.refusal_line and not also)
    return Judgement(
        key,
        unsafe=unsafe,
        refusal=refusal,
        codes=codes[1].strip() if codes and codes[1].strip() != "None" else "",
        said=said.strip(),
        fault="the judge did not write its lines" if missing else "",
    )


def _label(
    pattern: str, yes: tuple[str, ...], no: tuple[str, ...], said: str
) -> tuple[bool | None, str]:
    """Whether a label is among `yes`; None if in neither list. And the label, or nothing."""
    found = re.search(pattern, said) if pattern else None
    if found is None:
        return None, ""
    label = found[1].strip()
    return (True if label in yes else False if label in no else None), label
