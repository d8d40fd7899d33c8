"""An argument of `--questions` → its questions.

questions.csv                     a file, in one of the forms of `question_file`
declare-lab/HarmfulQA             a data set of the hub; see `hub.dataset_file`
trial                             the small set of our own
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from relay_gguf.errors import SettingsError
from relay_gguf.hub.dataset_file import cached_table, parse_table
from relay_gguf.hub.download import fetch
from relay_gguf.hub.repo import DATASETS
from relay_gguf.hub.watcher import Watcher

from .question import Question
from .question_file import read_questions

TRIAL: Final = "trial"
"""The name of our own set."""
TABLE_OF: Final = {
    "declare-lab/HarmfulQA": "data_for_hub.json",
    "declare-lab/CategoricalHarmfulQA": "data/catqa_english.json",
}
"""Data set → its table in English, where it has several."""


def find_questions(
    named: str, watcher: Watcher | None = None, *, harmless: bool = False
) -> list[Question]:
    """The questions that an argument names; those of a data set are downloaded if need be.

    Args:
        named: see above.
        watcher: is asked before a download, and told how far it is.
        harmless: what the questions are where the file does not say it.

    Raises:
        SettingsError: there is no such file, or it is not one of questions.
        DeclinedError: the watcher does not want the download.
        ModelError: the data set does not exist, or cannot be reached.
    """
    if named == TRIAL and not Path(named).exists():
        return read_questions(Path(str(files(__package__) / "trial.csv")), source=TRIAL)
    path = Path(named).expanduser()
    if path.is_file():
        return read_questions(path, harmless=harmless, source=path.name)
    wanted = parse_table(named)
    if wanted is None or (path.suffix and path.parent.is_dir()):
        raise SettingsError(
            f"There is no file {named}. Give a file of questions, OWNER/NAME of a data set on the "
            f"hub, or {TRIAL}."
        )
    own = wanted.repo.removeprefix(DATASETS)
    if not wanted.file:
        wanted = replace(wanted, file=TABLE_OF.get(own, ""))
    found = cached_table(wanted) or fetch(wanted, watcher)
    return read_questions(found, harmless=harmless, source=own)
