"""Settings of the chat: their defaults, the config file, the command line over both.

The config file is `config.toml` in the platform's config folder. Its keys are the names of the long
options, with hyphens or underscores:

    model = "~/models/relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf"
    temperature = 0.5
    channel = "boston"
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from .conversation.messages import DEFAULT_CHANNEL
from .errors import SettingsError
from .fit.choose import MIN_SPEED
from .fit.plan import MAX_SLOTS, LoadOptions
from .folders import config_path
from .machine.cpu import check_threads
from .sampling import DEFAULTS, SamplingParams
from .toml import read_toml


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """The settings of a chat. None leaves a value to the planner or, for a seed, to chance."""

    model: str | None = None
    channel: str = DEFAULT_CHANNEL
    topic: str = ""
    cast: str = ""
    n_ctx: int | None = None
    threads: int | None = None
    n_gpu_layers: int | None = None
    kv_type: str | None = None
    main_gpu: int | None = None
    tensor_split: str | None = None
    no_gpu: bool = False
    worker: str | Sequence[str] = ()
    min_speed: float = MIN_SPEED
    color: bool = True
    exact_trim: bool = False
    temperature: float = DEFAULTS.temperature
    top_k: int = DEFAULTS.top_k
    top_p: float = DEFAULTS.top_p
    min_p: float = DEFAULTS.min_p
    repeat_penalty: float = DEFAULTS.repeat_penalty
    max_tokens: int = DEFAULTS.max_tokens
    seed: int | None = None
    dry_multiplier: float = DEFAULTS.dry_multiplier
    dry_base: float = DEFAULTS.dry_base
    dry_allowed_length: int = DEFAULTS.dry_allowed_length
    dry_last_n: int = DEFAULTS.dry_last_n
    xtc_probability: float = DEFAULTS.xtc_probability
    xtc_threshold: float = DEFAULTS.xtc_threshold
    loop_guard: int = DEFAULTS.loop_guard
    save: bool = True
    cache_file: bool = True
    read_ahead: bool = True
    slots: int | None = None

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.slots is not None and not 1 <= self.slots <= MAX_SLOTS:
            raise SettingsError(f"slots is {self.slots}; it must be 1 to {MAX_SLOTS}.")
        if not 0 <= self.min_speed < float("inf"):
            raise SettingsError(f"min_speed is {self.min_speed}; it must be 0 or more.")
        SamplingParams(**self._sampled())
        self.load  # noqa: B018 - it checks itself

    @property
    def load(self) -> LoadOptions:
        """The settings that the model is loaded with."""
        return LoadOptions(
            self.n_ctx,
            self.n_gpu_layers,
            self.kv_type,
            self.main_gpu,
            None if self.tensor_split is None else _shares(self.tensor_split),
            self.no_gpu,
            (self.worker,) if isinstance(self.worker, str) else tuple(self.worker),
        )

    @property
    def sampling(self) -> SamplingParams:
        """The settings that tokens are sampled with."""
        return SamplingParams(**self._sampled())

    def _sampled(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(SamplingParams)}


KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("model", "channel", "topic", "cast", "kv_type", "tensor_split"), (str,)),
    **dict.fromkeys(("n_ctx", "threads", "n_gpu_layers", "main_gpu", "slots"), (int,)),
    **dict.fromkeys(("top_k", "max_tokens", "seed"), (int,)),
    **dict.fromkeys(("dry_allowed_length", "dry_last_n", "loop_guard"), (int,)),
    **dict.fromkeys(("temperature", "top_p", "min_p", "repeat_penalty"), (float, int)),
    **dict.fromkeys(
        ("dry_multiplier", "dry_base", "xtc_probability", "xtc_threshold"), (float, int)
    ),
    **dict.fromkeys(("min_speed",), (float, int)),
    **dict.fromkeys(("color", "save", "cache_file", "read_ahead", "exact_trim", "no_gpu"), (bool,)),
    "worker": (str, list),  # one worker, or several
}


_SPELLED: Final = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def _shares(text: str) -> tuple[float, ...]:
    """The shares of `3,1`: one number for each GPU."""
    try:
        return tuple(float(share) for share in text.split(","))
    except ValueError:
        raise SettingsError(
            f"tensor_split is {text!r}; it must be one share for each GPU, like 3,1."
        ) from None


def read_config(path: Path, *, named: bool = False) -> dict[str, Any]:
    """The settings in a config file, by name; empty if there is no file.

    Args:
        path: the file.
        named: whether the user named it; then it must be there.

    Raises:
        SettingsError: the file is not TOML, has an unknown key or a value of the wrong type, or was
            named and is not there.
    """
    try:
        table = read_toml(path)
    except SettingsError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise  # HOME is /dev/null for many services, and no file is below it
        if named:
            raise SettingsError(f"There is no config file {path}.") from None
        return {}
    config = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in KINDS:
            raise SettingsError(f"{path}: unknown key {key!r}. Known keys: {', '.join(KINDS)}.")
        kinds = KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise SettingsError(f"{path}: {key} = {value!r} must be {_SPELLED[kinds[0]]}.")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise SettingsError(f"{path}: {key} = {value!r} must be a list of strings.")
        config[name] = value
    return config


def chat_settings(given: Mapping[str, Any], config: Mapping[str, Any]) -> ChatSettings:
    """The settings of the command line over those of the config file.

    --no-gpu on the command line excludes the workers of the config file too.

    Args:
        given: from the command line, by name; None for an option that was not given.
        config: from the config file, by name.

    Raises:
        SettingsError: a value is outside its range.
    """
    typed = {name: value for name, value in given.items() if value is not None}
    left_out = ("worker",) if typed.get("no_gpu") else ()
    kept = {name: value for name, value in config.items() if name not in left_out}
    return ChatSettings(**{**kept, **typed})


def _usual_path() -> Path | None:
    """The config file's usual path; None for a user without a folder for it."""
    try:
        return config_path()
    except SettingsError:
        return None


def usual_settings(given: Mapping[str, Any], config: Path | None = None) -> ChatSettings:
    """The settings of the command line over RELAY_MODEL, and that over the config file.

    Args:
        given: from the command line, by name; None for an option that was not given.
        config: the config file that the user named; None for the one in its usual place.

    Raises:
        SettingsError: a value is wrong, or the file that was named is not there.
    """
    path = config or _usual_path()
    table = read_config(path, named=config is not None) if path else {}
    return chat_settings({"model": os.environ.get("RELAY_MODEL"), **given}, table)
