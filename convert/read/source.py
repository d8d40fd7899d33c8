"""What is converted: a folder, a repository of the hub or a GGUF file, and its adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from relay_gguf.convert.arch.llama import read_config
from relay_gguf.disk import digest
from relay_gguf.errors import ConversionError
from relay_gguf.hub.api import locate_folder, tensor_headers

from .adapter import Adapter, open_adapter
from .checkpoint import Checkpoint, open_folder
from .merge import MERGE_BASES, MergeBase

AskedBase = Literal["auto"] | MergeBase
ASKED_BASES: Final[tuple[AskedBase, ...]] = ("auto", *MERGE_BASES)

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer.model", "README.md")
MODEL_FILES: Final = (*SMALL_FILES, "model*.safetensors")
"""Not `consolidated.safetensors`, which holds the same weights once more in Mistral's names."""
ADAPTER_FILES: Final = (*SMALL_FILES, "*.yml", "*.yaml", "adapter_model.*")
READ: Final = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer*.json", "tokenizer.model", "added_tokens.json", "adapter_config.json"),
)
"""What a conversion depends on; chat templates and cards show in the heads of its files."""
TELLING: Final = ("adapter_config.json", "config.json", "README.md", "*.yml", "*.yaml")
"""Files of an adapter that may tell how it was trained."""
_LINE: Final = r"(?im)^[^#\n]*?"  # nothing that is commented out
_IS: Final = r"[\"']?\s*[:=]\s*[\"']?"
SIGNS: Final = {
    "load_in_4bit": re.compile(rf"{_LINE}\bload_in_4bit{_IS}true\b"),
    "adapter: qlora": re.compile(rf"{_LINE}\badapter{_IS}qlora\b"),
    "a base in bnb-4bit": re.compile(rf"{_LINE}\bbase_model\w*{_IS}[\w./-]*bnb-4bit\b"),
}
"""What tells of training in 4 bits: transformers' settings, axolotl's, the bases of Unsloth."""
DOUBLE: Final = re.compile(rf"{_LINE}\bbnb_4bit_use_double_quant{_IS}(true|false)\b")
KIND: Final = re.compile(rf"{_LINE}\bbnb_4bit_quant_type{_IS}(\w+)")


@dataclass(frozen=True, slots=True)
class FourBits:
    """That an adapter was trained in 4 bits, and what says so; `double` None is not said."""

    file: str
    sign: str
    kind: str = "nf4"
    double: bool | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What an adapter is merged into, why, and what a user should know of it."""

    base: MergeBase
    reason: str
    notes: tuple[str, ...] = ()


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
    def four_bits(self) -> FourBits | None:
        """Whether its folder tells of training in 4 bits."""
        texts = dict(self._texts())
        for file, text in texts.items():
            sign = next((sign for sign, pattern in SIGNS.items() if pattern.search(text)), None)
            if sign is not None:
                others = (text, *texts.values())  # its own first
                kind = next((m[1].lower() for t in others if (m := KIND.search(t))), "nf4")
                double = next((m[1].lower() for t in others if (m := DOUBLE.search(t))), None)
                return FourBits(file, sign, kind, None if double is None else double == "true")
        return None

    def _texts(self) -> Iterator[tuple[str, str]]:
        for pattern in TELLING:
            for path in sorted(self.folder.glob(pattern)):
                yield path.name, path.read_text("utf-8", "replace")

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


def choose_base(asked: AskedBase, given: AdapterSource, *, in_nf4: bool) -> Choice:
    """What to merge an adapter into: the weights that its training computed with, if it is told.

    Args:
        asked: `auto`, or the choice of a user.
        given: the adapter.
        in_nf4: whether the base is stored in NF4 itself.
    """
    found = given.four_bits
    if asked != "auto":
        notes: tuple[str, ...] = ()
        if asked == "original" and found is not None and not in_nf4:
            notes = (f"{_told(found)}: --merge-base auto keeps more of what it learned.",)
        return Choice(asked, "asked for", notes)
    if in_nf4:
        return Choice("original", "the base is stored in NF4, as training saw it")
    if found is None:
        hint = (
            "Nothing in the adapter's folder tells of training in 4 bits. If it was trained so "
            "(QLoRA), --merge-base nf4-double keeps more of what it learned."
        )
        reason = "nothing in the adapter's folder tells of training in 4 bits"
        return Choice("original", reason, (hint,))
    if found.kind != "nf4":
        told = f"{_told(found)}, of the type {found.kind}, whose round trip is not known here"
        return Choice("original", told, (f"{told}.",))
    if found.double is None:
        how = "double quantization is usual"
    else:
        how = f"bnb_4bit_use_double_quant is {str(found.double).lower()}"
    reason = f"{_told(found)}; {how}"
    return Choice("nf4" if found.double is False else "nf4-double", reason)


def _told(found: FourBits) -> str:
    return f"{found.file} tells of training in 4 bits ({found.sign})"


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
