"""How a model is asked: its system line, who asks, who answers; and a question's ids.

The conditions are tables of conditions.toml and of the user's own file, which comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message, join
from relay_gguf.conversation.prompt import Encoder
from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import text, texts
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.toml import parse_toml, read_toml

from .chat_template import harmless_text, prompt_ids, render

TEMPLATE: Final = "tokenizer.chat_template"
RELAY_TEMPLATE: Final = "{#- Relay chat template, version "
"""The beginning of Relay's own template."""
FORMATS: Final = ("template", "chatml", "opening")
"""`opening` is Relay's own opening of a channel: /join and its two lines."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a model is asked; see conditions.toml for the fields."""

    name: str
    files: tuple[str, ...] = ("*",)
    relay: bool = False
    format: str = "template"
    system: str = ""
    speaker: str = "user"
    listener: str = "assistant"

    def told(self) -> str:
        """The condition in words, for reports."""
        if self.format == "opening":
            return f"Relay's own opening of #{DEFAULT_CHANNEL}; anon asks, user answers"
        if self.format == "chatml":
            who = f"{self.speaker} asks, {self.listener} answers, in ChatML"
        else:
            who = "the file's own chat template"
        return f"{who}; system line: {self.system or 'none'}"


AS_CHAT: Final = Condition("as-chat", relay=True, format="opening", speaker="anon", listener="user")
"""A Relay model in a chat of its own, as a person has it."""


def read_conditions(own: Path | None = None) -> list[Condition]:
    """The user's conditions, then the shipped ones.

    Raises:
        SettingsError: the user's file cannot be read, or has an unknown key or a wrong value.
    """
    shipped = parse_toml((files(__package__) / "conditions.toml").read_text("utf-8"))
    tables = [] if own is None else [(own, read_toml(own))]
    return [
        _condition(path, name, table)
        for path, found in [*tables, (Path("conditions.toml"), shipped)]
        for name, table in found.items()
    ]


def _condition(path: Path, name: str, table: Any) -> Condition:
    known = {field.name for field in fields(Condition)} - {"name"}
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path}: {name} must be a table, [{name}].")
    values = dict(table)
    if unknown := sorted(values.keys() - known):
        raise SettingsError(
            f"{path}: [{name}] has an unknown key {unknown[0]!r}; there are "
            f"{', '.join(sorted(known))}."
        )
    patterns = values.pop("files", [])
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        raise SettingsError(f"{path}: files of [{name}] must be a list of patterns.")
    for key, value in values.items():
        if not isinstance(value, bool if key == "relay" else str):
            raise SettingsError(f"{path}: {key} of [{name}] has the wrong type.")
    made = Condition(name, tuple(patterns), **values)
    if made.format not in FORMATS:
        raise SettingsError(f"{path}: format of [{name}] must be one of {', '.join(FORMATS)}.")
    return made


def is_relay(model: GgufModel) -> bool:
    """Whether a file has Relay's own chat template, or says by its keys that it is a Relay."""
    named = text(model.metadata, TEMPLATE).lstrip().startswith(RELAY_TEMPLATE)
    return named or "relay.adapter" in model.metadata


def choose_condition(
    model: GgufModel, conditions: list[Condition], *, as_chat: bool = False, name: str = ""
) -> Condition:
    """The condition under which a model is asked.

    Args:
        model: its file.
        conditions: of which the first that fits is taken.
        as_chat: ask a Relay model as in a chat of its own.
        name: of the condition to take, whether it fits or not.

    Raises:
        SettingsError: there is no condition of that name, or none fits.
    """
    if name:
        for one in conditions:
            if one.name == name:
                return one
        known = ", ".join(dict.fromkeys(one.name for one in conditions))
        raise SettingsError(f"There is no condition {name!r}; there are {known}.")
    said = (model.path.name, text(model.metadata, "general.name"))
    names = ["-".join(name.lower().replace("_", " ").split()) for name in said]
    for one in conditions:
        patterns = [pattern.lower().replace("_", "-") for pattern in one.files]
        fits = any(fnmatchcase(n, pattern) for n in names if n for pattern in patterns)
        if fits or (one.relay and is_relay(model)):
            return AS_CHAT if as_chat and one.relay else one
    raise SettingsError(f"No condition fits {model.path}. Give one with --condition.")


def check_asking(model: GgufModel, condition: Condition) -> None:
    """Refuse a condition under which a model cannot be asked, by its file's header.

    Raises:
        ModelError: the condition asks for a format that the model does not have.
    """
    if condition.format == "template":
        if not text(model.metadata, TEMPLATE):
            raise ModelError(
                f'{model.path} has no chat template. Take a condition with format = "chatml", if '
                "it has the tokens of ChatML."
            )
    elif not {IM_START, IM_END} <= set(texts(model.metadata, "tokenizer.ggml.tokens")):
        raise ModelError(
            f"{model.path} has no ChatML tokens, which the condition {condition.name} needs. Take "
            "another one with --condition."
        )


class Asking:
    """Questions → prompts, for one model under one condition."""

    def __init__(self, engine: BatchEngine, model: GgufModel, condition: Condition) -> None:
        """Take a loaded model.

        Raises:
            ModelError: the condition asks for a format that the model does not have.
        """
        self._engine = engine
        self._condition = condition
        self._template = text(model.metadata, TEMPLATE)
        self._control = engine.control_texts()
        check_asking(model, condition)
        if condition.format != "template":
            self._encoder = Encoder(engine)

    def ids(self, question: str) -> list[int]:
        """The prompt's ids, BOS included where the model's file asks for it.

        Raises:
            ModelError: the template cannot be used.
        """
        how = self._condition
        if how.format == "template":
            return self._by_template(question)
        if how.format == "opening":
            lines = [*join(NICKS, "input", DEFAULT_CHANNEL), Message(NICKS["input"], question)]
            return self._encoder.prompt(lines, NICKS["model"])
        lines = [Message("system", how.system)] if how.system else []
        return self._encoder.prompt([*lines, Message(how.speaker, question)], how.listener)

    def _by_template(self, question: str) -> list[int]:
        how, control = self._condition, self._engine.control
        talk = [{"role": how.speaker, "content": harmless_text(question, self._control)}]
        if how.system:
            talk.insert(0, {"role": "system", "content": how.system})
        prompt = render(self._template, talk, bos=control.bos_text)
        ids = prompt_ids(self._engine, prompt)
        if control.bos is not None and control.bos not in ids:
            ids.insert(0, control.bos)
        return ids
