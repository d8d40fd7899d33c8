"""The sources of a conversion: a model's folder or repository, its adapter, and the merge base."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from relay_gguf.disk import digest
from relay_gguf.display import listed
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.gguf_file.header import Metadata
from relay_gguf.hub.api import locate_folder, snapshot
from relay_gguf.hub.download import fetch
from relay_gguf.hub.fetching import Fetching
from relay_gguf.hub.repo import parse_folder, parse_repo

from .adapter import Adapter, open_adapter
from .checkpoint import Checkpoint, open_folder
from .config import newest_checkpoint, read_config, read_object, refuse_pipes
from .four_bits import FourBits, find_four_bits
from .hub_folder import open_hub_folder
from .merge import MERGE_BASES, MergeBase
from .mlx_adapter import FILE as MLX_FILE
from .mlx_adapter import is_of_mlx, open_mlx_adapter

AskedBase = Literal["auto"] | MergeBase
ASKED_BASES: Final[tuple[AskedBase, ...]] = ("auto", *MERGE_BASES)

SMALL_FILES: Final = ("*.json", "*.jinja", "tokenizer.model", "README.md")
MODEL_FILES: Final = (*SMALL_FILES, "model*.safetensors")
"""Not `consolidated.safetensors`, which holds the same weights once more in Mistral's names."""
ADAPTER_FILES: Final = (*SMALL_FILES, "*.yml", "*.yaml", "adapter_model.*", MLX_FILE)
READ: Final = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *("tokenizer*.json", "tokenizer.model", "added_tokens.json", "adapter_config.json"),
)
"""Files that a conversion depends on; chat templates and cards show in the headers of its files."""
TELLING: Final = ("adapter_config.json", "config.json", "README.md", "*.yml", "*.yaml")
"""Files of an adapter's folder that may tell how it was trained."""
_CACHED: Final = re.compile(r"(?:^|/)models--([^/]+)/snapshots/[^/]+$")


@dataclass(frozen=True, slots=True)
class MergeChoice:
    """The merge base of an adapter, the reason for it, and notes for the user."""

    base: MergeBase
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder, opened; `label` is its repository, or the name of the folder.

    `address` has its revision and its folder in the repository too. `fetching` reads what is on
    the hub alone; None where nothing is.
    """

    label: str
    address: str
    folder: Path
    config: dict[str, Any]
    checkpoint: Checkpoint
    fetching: Fetching | None = None


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """An adapter, opened; `label` is its repository, or the name of its folder or file.

    `address` has its revision and its folder in the repository too. `folder` is the file itself of
    a LoRA in GGUF, and `metadata` what stands in that.
    """

    label: str
    address: str
    folder: Path
    adapter: Adapter
    metadata: Metadata | None = None

    @property
    def has_tokenizer(self) -> bool:
        """Whether the folder has a tokenizer of its own."""
        return any((self.folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))

    @property
    def four_bits(self) -> FourBits | None:
        """The sign of training in 4 bits in its folder; None where there is none."""
        return find_four_bits(dict(self._texts()))

    def _texts(self) -> Iterator[tuple[str, str]]:
        for pattern in TELLING:
            for path in filter(Path.is_file, sorted(self.folder.glob(pattern))):
                yield path.name, path.read_text("utf-8", "replace")

    def fingerprint(self) -> Future[str]:
        """The SHA-256 of the file of its tensors, in hexadecimal.

        A thread computes it: a second for 300 MB where the processor has no instruction for it.
        """
        files = (self.folder / "adapter_model.safetensors", self.folder / MLX_FILE, self.folder)
        thread = ThreadPoolExecutor(1, thread_name_prefix="fingerprint")
        found = thread.submit(digest, next(file for file in files if file.is_file()))
        thread.shutdown(wait=False)
        return found


def open_source(
    model: str,
    *,
    weights: bool = True,
    keep: bool = False,
    notice: Callable[[str], None] = lambda text: None,
) -> Source:
    """Open a model in safetensors.

    Args:
        model: its folder, or `owner/name` on the hub, maybe with a revision and a folder in it:
            `owner/name@v1/folder`.
        weights: False reads no weights: a plan needs only their files' headers.
        keep: download the weights into the hub's cache first; else those that are not there are
            read where they are, and not stored.
        notice: is told when the hub does not answer.

    Raises:
        ConversionError: the folder does not exist, or has no model that can be read.
        ModelError: the hub does not have the model, or cannot be reached.
    """
    wanted = None if Path(model).expanduser().exists() else parse_folder(model)
    if wanted is None or (weights and keep):
        folder = _folder(model, MODEL_FILES)
        return Source(*names_of(model, folder), folder, read_config(folder), open_folder(folder))
    there = snapshot(wanted, SMALL_FILES)
    names, config = names_of(model, there.folder), read_config(there.folder)
    try:
        opened = open_hub_folder(wanted, there, notice)
    except ModelError as error:
        try:  # a model that is here as a whole needs no hub
            return Source(*names, there.folder, config, open_folder(there.folder))
        except ConversionError:
            raise error from error.__cause__
    return Source(*names, there.folder, config, opened.checkpoint, opened.fetching)


def open_adapter_source(adapter: str) -> AdapterSource:
    """Open an adapter's folder, or `owner/name` on the hub; a folder in that, at a revision.

    Raises:
        ConversionError: the folder does not exist, or has no LoRA adapter that can be read.
        ModelError: the hub does not have the adapter, or cannot be reached.
    """
    _refuse_adapter_file(Path(adapter).expanduser())
    folder = _folder(adapter, ADAPTER_FILES)
    if not (folder / "adapter_config.json").exists():
        hint = ""
        if (folder / "config.json").exists():
            hint = " It is a whole model: give it as BASE."
        elif (newest := newest_checkpoint(folder)) is not None:
            hint = f" It holds checkpoints; the newest is {newest}. Give that folder."
        elif inner := sorted(path.parent.name for path in folder.glob("*/adapter_config.json")):
            hint = f" It holds adapters in folders of their own: give one, {listed(inner)}."
        elif (lora := next(folder.glob("*.gguf"), None)) is not None:
            hint = f" It has a GGUF file; if that is a LoRA, give the file: {lora}."
        raise ConversionError(f"{folder} has no adapter_config.json.{hint}")
    refuse_pipes(folder)
    of_mlx = is_of_mlx(read_object(folder / "adapter_config.json"))
    opened = open_mlx_adapter(folder) if of_mlx else open_adapter(folder)
    return AdapterSource(*names_of(adapter, folder), folder, opened)


def _refuse_adapter_file(path: Path) -> None:
    """Refuse a file in the place of an adapter's folder.

    Raises:
        ConversionError: it is one; says what to give instead.
    """
    if not path.is_file():
        return
    if (path.parent / "adapter_config.json").exists():
        raise ConversionError(f"{path} is a file of an adapter: give its folder, {path.parent}.")
    raise ConversionError(
        f"{path} is a file. Give an adapter's folder: it has adapter_config.json and "
        "adapter_model.safetensors."
    )


def repository_of(folder: Path) -> str | None:
    """`owner/name` of a folder in the hub's cache, models--owner--name/snapshots/...; or None."""
    match = _CACHED.search(folder.as_posix())
    return None if match is None else match[1].replace("--", "/", 1)


def choose_base(asked: AskedBase, given: AdapterSource, *, in_nf4: bool) -> MergeChoice:
    """The merge base of an adapter: the weights that its training computed with, if known.

    Args:
        asked: `auto`, or the user's choice.
        given: the adapter.
        in_nf4: whether the base itself is stored in NF4.
    """
    found = given.four_bits
    if asked != "auto":
        notes: tuple[str, ...] = ()
        if asked == "original" and found is not None and not in_nf4:
            notes = (f"{_told(found)}: --merge-base auto keeps more of what it learned.",)
        return MergeChoice(asked, "asked for", notes)
    if in_nf4:
        return MergeChoice("original", "the base is stored in NF4, as training saw it")
    if found is None:
        hint = (
            "Nothing in the adapter's folder tells of training in 4 bits. If it was trained so "
            "(QLoRA), --merge-base nf4-double keeps more of what it learned."
        )
        reason = "nothing in the adapter's folder tells of training in 4 bits"
        return MergeChoice("original", reason, (hint,))
    if found.kind != "nf4":
        told = f"{_told(found)}, of the type {found.kind}, whose round trip is not known here"
        return MergeChoice("original", told, (f"{told}.",))
    if found.double is None:
        how = "double quantization is usual"
    else:
        how = f"bnb_4bit_use_double_quant is {str(found.double).lower()}"
    reason = f"{_told(found)}; {how}"
    return MergeChoice("nf4" if found.double is False else "nf4-double", reason)


def _told(found: FourBits) -> str:
    return f"{found.file} tells of training in 4 bits ({found.sign})"


def identity(*folders_or_files: Path) -> str:
    """A digest of names, sizes and times: it differs when files have changed between two runs."""
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
    if not folder.exists() and "://" in name:
        raise ConversionError(
            f"{name} is not the address of a model on the hub. Give its page's, as "
            "https://huggingface.co/OWNER/NAME, or OWNER/NAME alone."
        )
    if not folder.exists():
        raise ConversionError(f"There is no folder {folder}. Check the path.")
    if not folder.is_dir():
        raise ConversionError(
            f"{folder} is a file. Name the folder of a model in safetensors, or a .gguf file."
        )
    return folder


def names_of(name: str, folder: Path) -> tuple[str, str]:
    """The label and the address of a folder: `owner/name` of a repository, or the folder's name.

    The hub's cache names folders by commits, and a link has more in it than the repository.
    """
    wanted = None if Path(name).expanduser().exists() else parse_folder(name)
    if wanted is not None:
        return wanted.repo, str(wanted)
    path = folder.absolute()
    label = repository_of(path) or repository_of(path.resolve()) or path.resolve().name
    return label, label


def refuse_remote_file(name: str) -> None:
    """Refuse a GGUF file of the hub as base: it is larger than what is downloaded without a word.

    Raises:
        ConversionError: it is one; says how to download it.
    """
    wanted = None if Path(name).expanduser().exists() else parse_repo(name)
    if wanted is not None and wanted.file:
        raise ConversionError(
            f"There is no file {name} here. If it is on the hub, download it first, and give the "
            f"file: relay-gguf download {wanted}"
        )


def locate_file(name: str) -> Path:
    """A GGUF file: a path, or one of the hub, which is downloaded.

    Raises:
        ModelError: the hub does not have it, or cannot be reached.
    """
    path = Path(name).expanduser()
    wanted = None if path.exists() else parse_repo(name)
    return fetch(wanted) if wanted is not None and wanted.file else path
