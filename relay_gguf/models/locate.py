"""A model argument → its file on this disk, downloaded from the hub if need be.

    models/relay.gguf            a file
    owner/name, owner/name:Q8_0, owner/name/file-Q8_0.gguf, a link to one of them
                                 a repository of the hub (`hub/repo.py`): in the hub's cache, in LM
                                 Studio's models folder, in Ollama's store, or downloaded
    name, name:tag               a model that Ollama has

A file on this disk is used without asking the network. A split model is named by its first shard,
and counts as there if all its shards are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

from relay_gguf.apps import ollama_store
from relay_gguf.apps.ollama_store import HUB_HOSTS, StoredName, parse_stored
from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.gguf_file.name import shard_paths
from relay_gguf.hub import cache as hub_cache
from relay_gguf.hub import download as hub_download
from relay_gguf.hub.api import UnreachableError
from relay_gguf.hub.repo import USUAL_TYPE, RepoFile, parse_repo, pick_files
from relay_gguf.hub.watcher import Watcher


def find(model: str | Path) -> Path | None:
    """The file of a model argument on this disk, without asking the network; None if not there.

    Raises:
        ModelError: it names a model that Ollama has, but not as one GGUF file; or the home folder
            of a user who does not exist.
    """
    path = _path(model)
    with suppress(OSError):  # a name that is too long for any file
        if path.exists():
            return _first_shard(path)
    name = str(model)
    wanted = parse_repo(name)
    stored = None if "://" in name or "@" in name else parse_stored(name)
    if wanted is None:
        if "://" in name:
            raise ModelError(
                f"{name} is not the address of a model on the hub. Give its page's, as "
                "https://huggingface.co/OWNER/NAME, or OWNER/NAME alone."
            )
        return ollama_store.find(stored) if stored else None
    if (found := _of_repo(wanted, USUAL_TYPE)) is not None or stored is None:
        return found
    with suppress(ModelError):  # the hub may have it
        return ollama_store.find(stored)
    return None


def locate(model: str | Path, fetching: Watcher | None = None) -> Path:
    """The file of a model argument, downloaded if need be.

    Args:
        model: a path, a repository or a model in Ollama, see above.
        fetching: is asked before a download and told how far it is; None downloads without a
            question.

    Returns:
        The file; a path as it was given, whether a file is there or not.

    Raises:
        DeclinedError: `fetching` does not want the download.
        ModelError: the repository or file does not exist, is not open to this user, or cannot be
            reached.
    """
    found = find(model)
    if found is not None:
        return found
    wanted = parse_repo(str(model))
    if wanted is None:
        return _path(model)
    try:
        return hub_download.fetch(wanted, fetching)
    except UnreachableError as error:
        if (other := _of_repo(wanted)) is not None:  # of another type: better than none
            return other
        raise UnreachableError(f"{error} `relay-gguf chat --demo` needs no network.") from error


def _path(model: str | Path) -> Path:
    try:
        return Path(model).expanduser()
    except RuntimeError as error:
        raise ModelError(f"There is no file {model}: {error}.") from error


def _first_shard(path: Path) -> Path:
    """The first shard, if a later one was named and the first is there."""
    first = shard_paths(path)[0]
    return first if first.exists() else path


def _of_repo(wanted: RepoFile, usual: str = "") -> Path | None:
    """A repository's file, wherever it is on this disk; if no type is named, of type `usual`."""
    exact = wanted if wanted.ftype or wanted.file else replace(wanted, ftype=usual)
    if wanted.revision:  # only the hub's cache tells which one a file is of
        return hub_cache.cached(exact)
    return hub_cache.cached(exact) or _in_lmstudio(exact) or _in_ollama(wanted)


def _in_lmstudio(wanted: RepoFile) -> Path | None:
    """A repository's file as LM Studio keeps it, at <models>/<owner>/<name>/<file>."""
    from relay_gguf.apps import lmstudio

    try:
        folder = lmstudio.find_places().models / wanted.repo
    except (SettingsError, OSError, RuntimeError):  # it is not here
        return None
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf")]
    try:
        return folder / pick_files(wanted, files)[0]
    except ModelError:
        return None


def _in_ollama(wanted: RepoFile) -> Path | None:
    """A repository's file in Ollama's store: hf.co/owner/name:TAG, by its type or name."""
    for name in _stored_names(wanted):
        with suppress(ModelError):
            if (found := ollama_store.find(name)) is not None:
                return found
    return None


def _stored_names(wanted: RepoFile) -> Iterator[StoredName]:
    owner, _, name = wanted.repo.partition("/")
    named = wanted.ftype or wanted.file
    # By "latest" the hub means its Q4_K_M, or the nearest that it has ("Ollama" in its guides).
    for host, tag in product(HUB_HOSTS, [named] if named else [USUAL_TYPE, "latest"]):
        yield StoredName(name, tag, owner, host)
