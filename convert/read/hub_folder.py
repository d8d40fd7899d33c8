"""A model's folder on the hub, whose weights are read where they are, and never stored here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from relay_gguf.errors import ModelError
from relay_gguf.hub.ahead import Extent
from relay_gguf.hub.api import CachedFolder, Remote, RemoteFile, no_repository, remote
from relay_gguf.hub.fetching import Fetching
from relay_gguf.hub.file import look_up
from relay_gguf.hub.intake import Intake
from relay_gguf.hub.ranged_file import RangedFile
from relay_gguf.hub.repo import RepoFolder

from .arrays import Bytes
from .checkpoint import NF4_STATE, Checkpoint, indexed
from .weight_file import (
    LENGTH,
    LocalFile,
    StoredTensor,
    WeightFile,
    header_length,
    read_tensors,
)


class HubFile:
    """A file of safetensors on the hub."""

    def __init__(self, file: RangedFile, fetching: Fetching) -> None:
        self.file = file
        self.name, self.size = f"{file.repo}/{file.name}", file.size
        self._fetching = fetching

    def read(self, start: int, stop: int) -> Bytes:
        """Bytes [start, stop).

        Raises:
            ModelError: the hub does not answer, or refuses; or the file changed.
        """
        head = self.file.head
        if stop <= len(head):
            return np.frombuffer(head[start:stop], dtype=np.uint8)
        data = self._fetching.read(Extent(self.file, start, stop))
        return np.frombuffer(data, dtype=np.uint8)

    def read_head(self, stop: int) -> Bytes:
        """Bytes up to `stop`, which are kept."""
        known = len(self.file.head)
        self.file.head += self.read(known, stop).tobytes()
        return self.read(0, stop)


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A checkpoint on the hub; `fetching` is None where all of it is in the cache."""

    checkpoint: Checkpoint
    fetching: Fetching | None


def open_hub_folder(
    wanted: RepoFolder, there: CachedFolder, notice: Callable[[str], None]
) -> HubFolder:
    """Open the weights of a model: those in the hub's cache from there, the others on the hub.

    Args:
        wanted: the folder of the repository.
        there: what the cache has of it; its commit is the one that is read.
        notice: is told when the hub does not answer.

    Raises:
        ConversionError: the folder has no model in safetensors, or one that cannot be read.
        ModelError: the hub cannot be reached, refuses, or has only whole files.
    """
    found = remote(wanted.repo, there.commit)
    within = f"{wanted.folder}/" if wanted.folder else ""
    if found is None:
        raise no_repository(str(wanted), wanted.repo)
    names = _weights(found, within, there.folder)
    if not names:
        raise ModelError(f"{wanted} has no model in safetensors.")
    intake = Intake(notice)
    missing = {
        name: RangedFile(wanted.repo, there.commit, _sized(wanted, there, found, name), intake)
        for name in names
        if not _is_there(there.folder / name.removeprefix(within), found.files[name].size)
    }
    fetching = Fetching(list(missing.values()), intake)
    on_hub = {name: HubFile(file, fetching) for name, file in missing.items()}
    files: list[WeightFile] = [
        on_hub.get(name) or LocalFile(there.folder / name.removeprefix(within)) for name in names
    ]
    _fetch_heads(list(on_hub.values()), fetching)
    with fetching.ahead(extents(_states(list(on_hub.values())))):
        checkpoint = Checkpoint(files)
    return HubFolder(checkpoint, fetching if missing else None)


def extents(stored: Iterable[StoredTensor]) -> list[Extent]:
    """Those of some tensors' bytes that are on the hub."""
    return [
        Extent(tensor.file.file, tensor.start, tensor.stop)
        for tensor in stored
        if isinstance(tensor.file, HubFile)
    ]


def _weights(found: Remote, within: str, folder: Path) -> list[str]:
    """The names of a model's files: one, or else the shards of its index, or else all shards."""
    whole = f"{within}model.safetensors"
    if whole in found.files:
        return [whole]
    if (index := folder / "model.safetensors.index.json").exists():
        shards = [within + name for name in indexed(index)]
        missing = [shard for shard in shards if shard not in found.files]
        if missing:
            raise ModelError(f"{index.name} names {missing[0]}, which the hub does not have.")
        return shards
    beside = [PurePosixPath(name) for name in found.files if name.startswith(within)]
    beside = [path for path in beside if path.parent == PurePosixPath(within)]
    return sorted(str(path) for path in beside if fnmatchcase(path.name, "model*.safetensors"))


def _sized(wanted: RepoFolder, there: CachedFolder, found: Remote, name: str) -> RemoteFile:
    """A file whose size is known."""
    file = found.files[name]
    return file if file.size else look_up(wanted.repo, there.commit, file)


def _is_there(path: Path, n_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes


def _fetch_heads(files: Sequence[HubFile], fetching: Fetching) -> None:
    """Read the headers of all files at once: their lengths first."""
    with fetching.ahead([Extent(file.file, 0, min(LENGTH, file.size)) for file in files]):
        lengths = [header_length(file, file.read_head(min(LENGTH, file.size))) for file in files]
    ends = [LENGTH + length for length in lengths]
    heads = [Extent(file.file, LENGTH, end) for file, end in zip(files, ends, strict=True)]
    with fetching.ahead(heads):
        for file, end in zip(files, ends, strict=True):
            file.read_head(end)


def _states(files: Sequence[HubFile]) -> Iterator[StoredTensor]:
    """What is read of files in 4 bits as they are opened."""
    for file in files:
        tensors = read_tensors(file)
        yield from (tensor for name, tensor in tensors.items() if name.endswith(NF4_STATE))
