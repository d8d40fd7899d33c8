"""What is converted: a folder, a repository of the hub or a GGUF file, and its adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay_gguf.disk import digest
from relay_gguf.errors import ConversionError
from relay_gguf.hub import locate_folder, tensor_headers

from .adapter import Adapter, open_adapter
from .arch import read_config
from .checkpoint import Checkpoint, open_folder

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer.model", "README.md")
MODEL_FILES: Final = (*SMALL_FILES, "model*.safetensors")
"""Not `consolidated.safetensors`, which holds the same weights once more in Mistral's names."""
ADAPTER_FILES: Final = (*SMALL_FILES, "adapter_model.*")
READ: Final = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer*.json", "tokenizer.model", "added_tokens.json", "adapter_config.json"),
)
"""What a conversion depends on; chat templates and cards show in the heads of its files."""
QLORA_SIGNS: Final = ("load_in_4bit: true", "adapter: qlora", '"load_in_4bit": true')
"""What a card says of training in 4 bits: axolotl's configuration, PEFT's list of settings."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder, opened; `label` is how it was named: a repository or the folder's name."""

    label: str
    folder: Path
    config: dict[str, Any]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """An adapter folder, opened."""

    label: str
    folder: Path
    adapter: Adapter

    @property
    def has_tokenizer(self) -> bool:
        """Whether it brings its own."""
        return any((self.folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))

    @property
    def says_qlora(self) -> bool:
        """Whether its card or its training configuration speaks of 4 bits."""
        for path in (*self.folder.glob("README.md"), *self.folder.glob("*.y*ml")):
            text = path.read_text("utf-8", "replace").lower()
            if any(sign in text for sign in QLORA_SIGNS):
                return True
        return False

    def fingerprint(self) -> str:
        """The SHA-256 of its tensors' file."""
        return digest(self.folder / "adapter_model.safetensors")


def open_source(model: str, *, weights: bool = True) -> Source:
    """A model in safetensors.

    Args:
        model: its folder, or `owner/name` on the hub.
        weights: False does not download them: a plan needs the heads of their files only.

    Raises:
        ConversionError: it is not there, or no model.
        ModelError: the hub does not have it, or cannot be reached.
    """
    folder = _folder(model, MODEL_FILES if weights else SMALL_FILES)
    label, config = _label(model, folder), read_config(folder)
    if weights or Path(model).expanduser().exists() or list(folder.glob("*.safetensors")):
        return Source(label, folder, config, open_folder(folder))
    return Source(label, folder, config, Checkpoint.of_heads(tensor_headers(model)))


def open_adapter_source(adapter: str) -> AdapterSource:
    """An adapter.

    Raises:
        ConversionError: it is not there, or no LoRA adapter.
        ModelError: the hub does not have it, or cannot be reached.
    """
    folder = _folder(adapter, ADAPTER_FILES)
    if not (folder / "adapter_config.json").exists():
        hint = " It is a whole model: give it as BASE." if (folder / "config.json").exists() else ""
        raise ConversionError(f"{folder} has no adapter_config.json.{hint}")
    return AdapterSource(_label(adapter, folder), folder, open_adapter(folder))


def identity(*folders_or_files: Path) -> str:
    """What tells whether files have changed between two runs: names, sizes and times."""
    found = []
    for path in folders_or_files:
        inputs = [path]
        if path.is_dir():  # which may be the output's folder too
            inputs = sorted({file for pattern in READ for file in path.glob(pattern)})
        for file in inputs:
            stat = file.stat()
            found.append([file.name, stat.st_size, stat.st_mtime_ns])
    return sha256(json.dumps(found).encode()).hexdigest()


def _folder(name: str, files: Sequence[str]) -> Path:
    folder = locate_folder(name, files)
    if not folder.exists():
        raise ConversionError(f"There is no folder {folder}. Check the path.")
    if not folder.is_dir():
        raise ConversionError(
            f"{folder} is a file. Name the folder of a model in safetensors, or a .gguf file."
        )
    return folder


def _label(name: str, folder: Path) -> str:
    """`owner/name` of a repository, whose folder in the cache is called otherwise; or a name."""
    return folder.resolve().name if Path(name).expanduser().exists() else name
