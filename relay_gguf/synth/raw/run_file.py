"""The run beside a file of raw scenes: the model and the options, which may not change in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay_gguf.disk import write_whole
from relay_gguf.errors import StoreError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What is known of the model that writes; the texts are its file's own claims, or empty."""

    file: str
    sha256: str
    name: str
    license: str
    ftype: str


@dataclass(frozen=True, slots=True)
class SynthRun:
    """A run: the model, and all options on which scenes depend, by the names of the command line.

    `origin` is what the card tells beside them: the license of the starters and the like.
    """

    model: BaseFacts
    options: Mapping[str, Any]
    origin: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Tells runs apart: equal model and options have equal identities, on any machine."""
        known = json.dumps([FORMAT, self.model.sha256, dict(self.options)], sort_keys=True)
        return sha256(known.encode()).hexdigest()[:16]


def run_path(raw: Path) -> Path:
    """The run file beside a file of raw scenes."""
    return raw.with_name(f"{raw.stem}.run.json")


def begin_or_compare(raw: Path, run: SynthRun) -> None:
    """Write the run file, or compare the one that is there.

    Raises:
        StoreError: the scenes that are there are of another model or other options; names the first
            that differs.
    """
    path = run_path(raw)
    if not path.exists():
        if raw.exists() and raw.stat().st_size:
            raise StoreError(
                f"{raw} has scenes, but its run file {path.name} is not beside it. Put it back, or "
                "take another --out."
            )
        write_whole(path, (json.dumps({"format": FORMAT, **asdict(run)}, indent=1) + "\n").encode())
        return
    known = read_run(path)
    if known.identity != run.identity:
        raise StoreError(
            f"{raw} was begun with {_difference(known, run)}. Take that again to go on, or another "
            "--out to begin anew."
        )


def read_run(path: Path) -> SynthRun:
    """The run of a run file.

    Raises:
        StoreError: it cannot be read, or is not one.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
        if value["format"] != FORMAT:
            raise StoreError(f"{path} is of a later version of this program.")
        return SynthRun(BaseFacts(**value["model"]), dict(value["options"]), dict(value["origin"]))
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not the run file of `relay-gguf synth`.") from error


def _difference(known: SynthRun, now: SynthRun) -> str:
    if known.model.sha256 != now.model.sha256:
        return f"another model, {known.model.file} (SHA-256 {known.model.sha256[:12]}...)"
    for name in (*known.options, *now.options):
        before, after = known.options.get(name), now.options.get(name)
        if before != after:
            return f"--{name.replace('_', '-')} {before}, and this is {after}"
    return "other options"
