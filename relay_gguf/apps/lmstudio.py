"""LM Studio's folders, and our files in them.

A model stands at <models>/<publisher>/<repo>/<file>, exactly two folders down. LM Studio takes the
publisher and the name from the folders, the type from the file's name, and all else from its
metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.folders import DIRS
from relay_gguf.gguf_file.header import Metadata, read_header
from relay_gguf.gguf_file.name import ENDING, parse_name, shard_paths
from relay_gguf.sampling import DEFAULTS

from . import installed
from .installed import InstallResult, WantedFile
from .manifest import read

PUBLISHER: Final = "relay-gguf"
"""Not the author's name: beside the author's own files nobody could tell them apart, and `lms
import -y` puts any file there that has a name of the author's."""
PRESET: Final = "relay.preset.json"
_START_IT: Final = (
    "Start it once, or name its folder with --home, or its models folder with --models."
)


@dataclass(frozen=True, slots=True)
class Places:
    """LM Studio's folders; `home` is None if only the models folder is known.

    `note` says why the usual models folder was taken in place of the configured one.
    """

    home: Path | None
    models: Path
    note: str = ""

    @property
    def preset(self) -> Path | None:
        """The path of Relay's preset; None without a home."""
        return self.home / "config-presets" / PRESET if self.home else None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model to install: its file or all its shards, and the metadata of the first."""

    files: tuple[Path, ...]
    metadata: Metadata

    @property
    def repo(self) -> str:
        """The name of the folder that it gets."""
        return f"{parse_name(self.files[0].name).model}-GGUF"


def manifest_path() -> Path:
    """The path of the manifest of our files in LM Studio."""
    return DIRS.user_data_path / "lmstudio.json"


def find_places(home: Path | None = None, models: Path | None = None) -> Places:
    """LM Studio's folders, looked up as LM Studio does itself.

    Args:
        home: its home folder; None looks it up.
        models: its models folder; None looks it up.

    Raises:
        SettingsError: LM Studio was never started here, or a folder does not exist.
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
            f"LM Studio's models folder {named} does not exist. Is its disk connected? "
            "Or name another with --models."
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
        raise SettingsError(f"{pointer} names {named}, which is not a folder here. {_START_IT}")
    old = user / ".cache" / "lm-studio"
    home = old if old.is_dir() else user / ".lmstudio"
    if not home.is_dir():
        raise SettingsError(f"LM Studio was never started here. {_START_IT}")
    return home


def _downloads_folder(settings: Path) -> tuple[Path | None, str]:
    """The models folder in LM Studio's settings, None if there is none; and a note on a fault."""
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


def open_models(files: Sequence[Path]) -> list[InstalledModel]:
    """The models to install: each file, or all shards of a split model, whichever is named.

    Args:
        files: paths on this disk.

    Raises:
        ModelError: a file does not exist, is not a GGUF file, or does not end in .gguf.
    """
    models: dict[Path, InstalledModel] = {}
    for file in files:
        paths = shard_paths(file.absolute())
        for path in paths:
            if not path.exists():
                what = f"shard {path.name} of" if len(paths) > 1 else "file"
                raise ModelError(f"There is no {what} {file}. Check the path.")
            if path.suffix != ENDING:
                raise ModelError(
                    f"{path.name} does not end in {ENDING}, so LM Studio would not see it. "
                    "Rename it."
                )
        headers = [read_header(path) for path in paths]
        models.setdefault(paths[0].resolve(), InstalledModel(tuple(paths), headers[0].metadata))
    return list(models.values())


def install(
    models: Sequence[InstalledModel],
    places: Places,
    *,
    publisher: str = PUBLISHER,
    repo: str | None = None,
    copy: bool = False,
    preset: bool = False,
    on_copy: Callable[[Path, int], None] = lambda path, size: None,
) -> dict[Path, InstallResult]:
    """Put models, and the preset, where LM Studio finds them; path → how it got there.

    Args:
        models: from `open_models`.
        places: from `find_places`.
        publisher: name of the upper folder.
        repo: name of the lower folder; None takes each model's name.
        copy: never link.
        preset: add Relay's preset.
        on_copy: is called before each copy, with its source and bytes.

    Raises:
        SettingsError: a name cannot be that of a folder, or a file that is not ours is in the way.
        StoreError: the disk has not enough room, or a folder cannot be written.
    """
    wanted: list[WantedFile] = []
    for model in models:
        name = model.repo if repo is None else repo
        folder = places.models / _folder("publisher", publisher) / _folder("repo", name)
        wanted += [
            WantedFile(folder / file.name, file.resolve(), n_folders=2) for file in model.files
        ]
    names = [str(item.path).casefold() for item in wanted]
    for item, name in zip(wanted, names, strict=True):
        if names.count(name) > 1:
            raise SettingsError(
                f"Two of the files would become {item.path}. Give each its own --repo."
            )
    if preset:
        if places.preset is None:
            raise SettingsError("The preset goes into LM Studio's own folder: name it with --home.")
        wanted.append(WantedFile(places.preset, preset_json().encode(), optional=True))
    done = installed.install(wanted, manifest_path(), copy=copy, on_copy=on_copy)
    return {item.path: how for item, how in zip(wanted, done, strict=True)}


def find_installed(names: Sequence[str] | None) -> list[Path]:
    """Paths of installed files, or of all; a shard stands for all its shards.

    Args:
        names: names or paths of installed files, or the files that were given to `install`; None
            takes all.

    Raises:
        SettingsError: no installed file has such a name.
    """
    owned = read(manifest_path())
    found: dict[Path, None] = {} if names else dict.fromkeys(owned)
    for name in names or ():
        hits = [path for path in owned if name in (path.name, str(path))]
        hits = hits or _made_of(Path(name), owned)
        if not hits:
            known = ", ".join(sorted({path.name for path in owned})) or "nothing"
            raise SettingsError(f"{name} is not installed by relay-gguf. Installed is: {known}.")
        for path in hits:
            found |= dict.fromkeys(shard for shard in shard_paths(path) if shard in owned)
    return list(found)


def _made_of(source: Path, owned: Iterable[Path]) -> list[Path]:
    """The installed files that were made of a file: links to it; else those of its name."""
    links = []
    for path in owned:
        with suppress(OSError):
            if source.samefile(path):
                links.append(path)
    return links or [path for path in owned if source.name == path.name]


def model_key(repo: str) -> str:
    """The name by which `lms load` finds a repository: it searches keys and paths for it."""
    return repo.removesuffix("-GGUF").lower()


def preset_json() -> str:
    """The preset as JSON: the original's sampling. The prompt template is in the model's file."""
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
    """A folder's name, by the rules of LM Studio's own import.

    Raises:
        SettingsError: it cannot be the name of a folder.
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
