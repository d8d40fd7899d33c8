"""LM Studio's folders, and our files in them.

A model stands at <models>/<publisher>/<repo>/<file>, exactly two folders down. LM Studio takes the
publisher and the name from the folders, the type from the file's name, and all else from its keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.folders import DIRS
from relay_gguf.gguf_file.header import Keys, read_head
from relay_gguf.gguf_file.name import ENDING, parse_name, parts
from relay_gguf.models.locate import locate
from relay_gguf.sampling import DEFAULTS

from . import installed
from .installed import Done, Wanted

PUBLISHER: Final = "relay-gguf"
"""Not the author's: beside his own files nobody could tell whose is whose, and `lms import -y` puts
there whatever has one of his names."""
PRESET: Final = "relay.preset.json"
_START_IT: Final = (
    "Start it once, or name its folder with --home, or its models folder with --models."
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where LM Studio keeps things; no home where only the models folder was named."""

    home: Path | None
    models: Path
    note: str = ""

    @property
    def preset(self) -> Path | None:
        """The place of our preset."""
        return self.home / "config-presets" / PRESET if self.home else None


@dataclass(frozen=True, slots=True)
class Model:
    """A file to install, or all parts of one, and the keys of the first."""

    files: tuple[Path, ...]
    keys: Keys

    @property
    def repo(self) -> str:
        """The folder that it gets."""
        return f"{parse_name(self.files[0].name).model}-GGUF"


def manifest() -> Path:
    """Where it stands what is ours."""
    return DIRS.user_data_path / "lmstudio.json"


def find_places(home: Path | None = None, models: Path | None = None) -> Places:
    """Where LM Studio keeps things, in the order in which it looks itself.

    Raises:
        SettingsError: it was never started here, or a folder is not there.
    """
    for option, folder in (("--home", home), ("--models", models)):
        if folder is not None and not folder.is_dir():
            raise SettingsError(f"There is no folder {folder}. {option} should be LM Studio's.")
    if models is not None:
        with suppress(SettingsError):
            home = home or _find_home()
        return Places(home and home.absolute(), models.absolute())
    home = home or _find_home()
    named, note = _downloads_folder(home / "settings.json")
    if named is not None and not named.is_dir():
        raise SettingsError(
            f"LM Studio's models folder {named} is not there. Is its disk connected? "
            "--models names another."
        )
    return Places(home.absolute(), named or home.absolute() / "models", note)


def _find_home() -> Path:
    user = Path.home().resolve()
    pointer = user / ".lmstudio-home-pointer"
    try:
        named = pointer.read_text("utf-8-sig").strip()
    except (OSError, ValueError):
        named = ""
    if named:
        if Path(named).is_absolute() and Path(named).is_dir():
            return Path(named)
        raise SettingsError(f"{pointer} names {named}, which is no folder here. {_START_IT}")
    old = user / ".cache" / "lm-studio"
    home = old if old.is_dir() else user / ".lmstudio"
    if not home.is_dir():
        raise SettingsError(f"LM Studio was never started here. {_START_IT}")
    return home


def _downloads_folder(settings: Path) -> tuple[Path | None, str]:
    """The models folder that the settings name, if they do; and what is wrong with them."""
    try:
        found = json.loads(settings.read_text("utf-8-sig"))
        named = found.get("downloadsFolder")
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, AttributeError, RecursionError):
        return None, f"{settings} cannot be read: taking the usual models folder."
    if named is None:
        return None, ""
    if not isinstance(named, str) or "\0" in named or not Path(named).is_absolute():
        return None, f"{settings} names no models folder of this system: taking the usual one."
    return Path(named), ""


def open_models(files: Sequence[str | Path]) -> list[Model]:
    """Models to install: each file, or all parts of a split one, whichever of them is named.

    Raises:
        ModelError: one is missing, no GGUF file, or not named like one.
    """
    models: dict[Path, Model] = {}
    for file in files:
        paths = parts(locate(file).absolute())
        for path in paths:
            if not path.exists():
                what = f"part {path.name} of" if len(paths) > 1 else "file"
                raise ModelError(f"There is no {what} {file}.")
            if path.suffix != ENDING:
                raise ModelError(
                    f"{path.name} does not end in {ENDING}: LM Studio would not see it."
                )
        try:
            heads = [read_head(path) for path in paths]
        except OSError as error:
            raise ModelError(f"Cannot read {file}: {error.strerror}.") from error
        models.setdefault(paths[0].resolve(), Model(tuple(paths), heads[0].keys))
    return list(models.values())


def install(
    models: Sequence[Model],
    places: Places,
    *,
    publisher: str = PUBLISHER,
    repo: str | None = None,
    copy: bool = False,
    preset: bool = False,
    on_copy: Callable[[Path, int], None] = lambda path, size: None,
) -> dict[Path, Done]:
    """Put models, and the preset, where LM Studio finds them; what became of each file.

    Raises:
        SettingsError: a folder's name is none, or a file of someone else is in the way.
        StoreError: there is no room, or no permission.
    """
    wanted: list[Wanted] = []
    for model in models:
        name = model.repo if repo is None else repo
        folder = places.models / _folder("publisher", publisher) / _folder("repo", name)
        wanted += [Wanted(folder / file.name, file.resolve(), n_folders=2) for file in model.files]
    names = [str(item.path).casefold() for item in wanted]
    for item, name in zip(wanted, names, strict=True):
        if names.count(name) > 1:
            raise SettingsError(f"Two of the files would be {item.path}. Give each its own --repo.")
    if preset:
        if places.preset is None:
            raise SettingsError("The preset goes into LM Studio's own folder: name it with --home.")
        wanted.append(Wanted(places.preset, preset_json().encode(), optional=True))
    done = installed.install(wanted, manifest(), copy=copy, on_copy=on_copy)
    return {item.path: how for item, how in zip(wanted, done, strict=True)}


def find_installed(names: Sequence[str] | None) -> list[Path]:
    """Files of ours by name, or all; a part of a split one stands for all its parts.

    Raises:
        SettingsError: there is none of that name.
    """
    owned = installed.read(manifest())
    found: dict[Path, None] = {} if names else dict.fromkeys(owned)
    for name in names or ():
        hits = [path for path in owned if name in (path.name, str(path))]
        if not hits:
            known = ", ".join(sorted({path.name for path in owned})) or "nothing"
            raise SettingsError(f"{name} is not installed by relay-gguf. Installed is: {known}.")
        for path in hits:
            found |= dict.fromkeys(part for part in parts(path) if part in owned)
    return list(found)


def model_key(repo: str) -> str:
    """What `lms load` takes for a repository: it looks for the letters, in any key or path."""
    return repo.removesuffix("-GGUF").lower()


def preset_json() -> str:
    """The preset: sampling as the original does. The prompt template is in the model's file."""
    prediction = {
        "temperature": DEFAULTS.temperature,
        "maxPredictedTokens": {"checked": True, "value": DEFAULTS.max_tokens},
        "topKSampling": DEFAULTS.top_k,
        "topPSampling": {"checked": True, "value": DEFAULTS.top_p},
        "minPSampling": {"checked": True, "value": DEFAULTS.min_p},
        "repeatPenalty": {"checked": True, "value": DEFAULTS.repeat_penalty},
    }
    preset = {
        "identifier": "@local:relay",
        "name": "Relay",
        "changed": False,
        "operation": {
            "fields": [
                {"key": f"llm.prediction.{key}", "value": value}
                for key, value in prediction.items()
            ]
        },
        "load": {"fields": []},
    }
    return json.dumps(preset, indent=2) + "\n"


def _folder(what: str, name: str) -> str:
    """A folder's name, as LM Studio's own import has it.

    Raises:
        SettingsError: it is none.
    """
    wrong = ""
    if not 0 < len(name) <= 100:
        wrong = "has no letter, or more than 100"
    elif name != name.strip() or name[0] == "." or name[-1] == ".":
        wrong = "begins or ends with a dot or a blank"
    elif not name.isprintable() or set(name) & set('/<>:"\\|?*'):
        wrong = 'has a character that no folder should have: / < > : " \\ | ? *'
    if wrong:
        raise SettingsError(f"The {what} {name!r} {wrong}. Name another with --{what}.")
    return name
