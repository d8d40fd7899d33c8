"""Models that Ollama has on this disk: their names → the GGUF files.

<models>/manifests/<host>/<namespace>/<model>/<tag> is JSON that lists layers; the one of the model
is <models>/blobs/sha256-<hex>. Names are those of ollama's types/model/name.go: what is left out is
registry.ollama.ai, library and latest, and letters may be large or small.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.header import MAGIC
from relay_gguf.gguf_file.name import ENDING

HUB_HOSTS: Final = ("hf.co", "huggingface.co")
"""Hosts of models that Ollama got from the hub: their tags are types, or names of files."""
_MODEL_LAYER: Final = "application/vnd.ollama.image.model"
_SERVICE: Final = Path("/usr/share/ollama/.ollama/models")
"""Where Ollama keeps models on Linux when it runs as a service, as its installer sets it up."""
_NAME = re.compile(
    r"(?:(?:(?P<host>\w[\w.:-]*)/)?(?P<namespace>\w[\w-]*)/)?"
    r"(?P<model>\w[\w.-]{0,79})(?::(?P<tag>\w[\w.-]{0,79}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StoredName:
    """The name of a model in Ollama, in full."""

    model: str
    tag: str = "latest"
    namespace: str = "library"
    host: str = "registry.ollama.ai"

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"


def parse_stored(model: str) -> StoredName | None:
    """The name in Ollama that a model argument may mean; None if it cannot be one."""
    match = _NAME.fullmatch(model)
    if match is None or model.endswith(ENDING):
        return None
    said = {part: text for part, text in match.groupdict().items() if text}
    return StoredName(**said)


def find(name: StoredName) -> Path | None:
    """The GGUF file of a model; None if Ollama does not have the model.

    Raises:
        ModelError: Ollama has the model, but not as one GGUF file.
    """
    for store in stores():
        path = store / "manifests"
        for part in (name.host, name.namespace, name.model, name.tag):
            path = _child(path, part)
        try:
            layers = _model_layers(json.loads(path.read_text("utf-8")))
        except OSError:
            continue
        except (ValueError, RecursionError) as error:
            raise ModelError(f"Ollama's {path} cannot be read: {error}.") from error
        blobs = [store / "blobs" / digest.replace(":", "-") for digest in layers]
        if len(blobs) != 1 or not _is_gguf(blobs[0]):
            raise ModelError(
                f"Ollama has {name}, but not as one GGUF file in {store / 'blobs'}: pull it again, "
                "or take it from the hub."
            )
        return blobs[0]
    return None


def stores() -> Iterator[Path]:
    """The folders in which Ollama may keep models, whether they exist or not."""
    if named := os.environ.get("OLLAMA_MODELS", "").strip():
        yield Path(named)
    with suppress(RuntimeError):  # a user without a home
        yield Path.home() / ".ollama" / "models"
    if sys.platform == "linux":
        yield _SERVICE


def _child(folder: Path, name: str) -> Path:
    """A folder's entry of that name in any case of letters; the exact name precedes others."""
    exact = folder / name
    try:
        if exact.exists():
            return exact
        alike = [path for path in folder.iterdir() if path.name.casefold() == name.casefold()]
    except OSError:  # not there, or not ours to read
        return exact
    return min(alike, default=exact)


def _model_layers(manifest: Any) -> list[str]:
    """Digests of the layers that are the model itself."""
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    digests = [
        layer.get("digest")
        for layer in layers or ()
        if isinstance(layer, dict) and layer.get("mediaType") == _MODEL_LAYER
    ]
    return [d for d in digests if isinstance(d, str) and re.fullmatch("sha256[:-][0-9a-f]{64}", d)]


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
