"""Presets of `relay-gguf convert`: TOML files with the types to make, and the names of the files.

description = "Two files for my laptop"
types = ["Q8_0", "Q4_K_M"]
file = "my-model-{type}.gguf"      # else the model's name and the type
context_length = 32768             # else what the model's config says

[sampling]                         # defaults that llama.cpp's programs take from the file
temperature = 0.3                  # also top_k, top_p, min_p, repetition_penalty, ...

[card]                             # what programs show of the model
name = "My model"
license = "apache-2.0"             # also author, url, description, base_model, datasets, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from relay_gguf.convert.metadata import OVERRIDABLE, SAMPLING, MetadataOverride
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.errors import SettingsError
from relay_gguf.toml import read_toml

FOLDER: Final = Path(__file__).parent
KEYS: Final = {
    "description": str,
    "types": list,
    "file": str,
    "context_length": int,
    "sampling": dict,
    "card": dict,
}
LIMIT: Final = 1 << 31
"""Numbers are below this: a GGUF file has 32 bits for them."""
LISTS: Final = ("tags", "languages", "datasets")


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset; `file` is a pattern of file names with `{type}` in it, or empty."""

    name: str
    types: tuple[str, ...]
    description: str = ""
    file: str = ""
    context_length: int | None = None
    metadata: MetadataOverride = field(default_factory=MetadataOverride)


def presets() -> Iterator[Preset]:
    """The presets that come with the program."""
    for path in sorted(FOLDER.glob("*.toml")):
        yield read_preset(path)


def load_preset(name: str) -> Preset:
    """The preset of a name, or in a file whose name ends in .toml.

    Raises:
        SettingsError: it does not exist, or has a wrong value; names file, key and value.
    """
    if name.endswith(".toml"):
        return read_preset(Path(name).expanduser())
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if name not in known:
        raise SettingsError(
            f"There is no preset {name!r}. There are: {', '.join(known)}; or name a .toml file."
        )
    return read_preset(FOLDER / f"{name}.toml")


def read_preset(path: Path) -> Preset:
    """The preset in a TOML file.

    Raises:
        SettingsError: the file cannot be read, or has an unknown key or a wrong value; names file,
            key and value.
    """
    table = read_toml(path)
    for key, value in table.items():
        _expect(key in KEYS, path, key, value, f"the keys are {', '.join(KEYS)}")
        kind = KEYS[key]
        fits = isinstance(value, kind) and not isinstance(value, bool)
        _expect(fits, path, key, value, f"it should be a {kind.__name__}")
    types = table.get("types")
    _expect(bool(types), path, "types", types, "at least one type is needed")
    for ftype in table["types"]:
        known = isinstance(ftype, str) and ftype in FTYPES
        _expect(known, path, "types", ftype, f"the types are {', '.join(FTYPES)}")
    _expect(
        len(set(types or ())) == len(types or ()), path, "types", types, "a type is there twice"
    )
    if (pattern := table.get("file")) is not None:
        fits = Path(pattern).name == pattern and pattern.endswith(".gguf") and "{type}" in pattern
        _expect(fits, path, "file", pattern, "it should be a name like model-{type}.gguf")
    if (length := table.get("context_length")) is not None:
        fits = 0 < length < LIMIT
        _expect(fits, path, "context_length", length, "it should be a number of tokens")
    return Preset(
        name=path.stem,
        types=tuple(table["types"]),
        description=table.get("description", ""),
        file=table.get("file", ""),
        context_length=length,
        metadata=_override(path, table.get("card", {}), _sampling(path, table.get("sampling", {}))),
    )


def _sampling(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in table.items():
        where = f"sampling.{key}"
        _expect(key in SAMPLING, path, where, value, f"the keys are {', '.join(SAMPLING)}")
        kinds = (str,) if key == "sequence" else (int, float)
        whole = key in ("top_k", "penalty_last_n")
        fits = isinstance(value, int if whole else kinds) and not isinstance(value, bool)
        fits = fits and (isinstance(value, str) or abs(value) < LIMIT)
        _expect(fits, path, where, value, f"it should be a {'text' if str in kinds else 'number'}")
    return dict(table)


def _override(
    path: Path, table: Mapping[str, Any], sampling: Mapping[str, Any]
) -> MetadataOverride:
    known = (*OVERRIDABLE, "base_model", "datasets")
    for key, value in table.items():
        where = f"card.{key}"
        _expect(key in known, path, where, value, f"the keys are {', '.join(known)}")
        if key in LISTS:
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
            _expect(fits, path, where, value, "it should be a list of texts")
        else:
            _expect(isinstance(value, str), path, where, value, "it should be a text")
    return MetadataOverride(
        {key: value for key, value in table.items() if key in OVERRIDABLE},
        table.get("base_model", ""),
        tuple(table.get("datasets", ())),
        dict(sampling),
    )


def _expect(fits: bool, path: Path, key: str, value: object, what: str) -> None:
    if not fits:
        raise SettingsError(f"{path}: {key} = {value!r}: {what}.")
