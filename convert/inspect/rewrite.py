"""Other metadata for an existing GGUF file; its tensors stay as they are, to the byte.

A copy is made beside it, checked, and given the file's name. Hard links and the hub's cache keep
the old bytes; a power loss leaves the old file or the new one. The copy is a new file of a random
name, which nobody can have prepared, as a link to another file; several may be made at once.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.convert.quantize.ggml import check_opens
from relay_gguf.convert.template import KEY, template_kind, with_relay_template
from relay_gguf.disk import CHUNK, PARTIAL, free_space, lock, sync_folder
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import (
    ALIGNMENT,
    Metadata,
    Value,
    ValueType,
    pack_header,
    read_header,
)
from relay_gguf.gguf_file.name import parse_name, shard_paths
from relay_gguf.llama.first_read.first_read import model_of, refuse_deadly


def template_of(path: Path) -> str:
    """The chat template in a file.

    Raises:
        ConversionError: the file has none.
        ModelError: it does not exist, or is not a GGUF file.
    """
    found = read_header(path).metadata.get(KEY)
    if found is None:
        raise ConversionError(f"{path} has no chat template. --write puts Relay's into it.")
    return str(found.value)


def put_template(path: Path) -> Iterator[tuple[int, int]]:
    """Put Relay's chat template into a file; yields bytes done and bytes in all.

    Raises:
        ConversionError: the vocabulary has no ChatML, or the file cannot be written.
        ModelError: the file does not exist, or is not a GGUF file.
    """

    def with_template(metadata: Metadata) -> dict[str, Value | None]:
        ours = with_relay_template(metadata)
        if KEY not in ours or template_kind(ours[KEY].value) != "relay":
            raise ConversionError(
                f"{path} has no {IM_START} and {IM_END} in its vocabulary: Relay speaks ChatML."
            )
        # In the file's order: that of a set would be another one in each process.
        return {key: ours.get(key) for key in dict.fromkeys([*metadata, *ours])}

    yield from _rewritten(path, with_template)


def rewrite(path: Path, changes: Mapping[str, Value | None]) -> Iterator[tuple[int, int]]:
    """Set or remove metadata of a file; yields bytes done and bytes in all.

    Args:
        path: a GGUF file, or the first shard of a split model, which has the metadata.
        changes: key → value; None removes the key.

    Raises:
        ConversionError: the disk has not enough room, the copy is damaged, or llama.cpp does not
            open it. The file is as it was then.
        ModelError: the file does not exist, or is not a GGUF file.
    """
    yield from _rewritten(path, lambda _: changes)


def _rewritten(
    path: Path, change: Callable[[Metadata], Mapping[str, Value | None]]
) -> Iterator[tuple[int, int]]:
    files = _shards(path)
    before = path.stat() if path.exists() else None
    header = read_header(path)
    changes = change(header.metadata)
    _remove_abandoned(path)
    refuse_deadly(model_of(files))  # before its bytes are copied
    kept = {key: v for key, v in header.metadata.items() if changes.get(key, v) is not None}
    given = {key: value for key, value in changes.items() if value is not None}
    alignment = header.metadata.get("general.alignment", Value(ALIGNMENT, ValueType.UINT32)).value
    new_header = pack_header(kept | given, header.tensors, alignment)
    size = path.stat().st_size
    _check_room(path, size - header.size + len(new_header))
    copy = path
    try:
        digest = sha256()
        number, name = tempfile.mkstemp(PARTIAL, _beginning(path), path.parent)
        copy = Path(name)
        with path.open("rb") as source, os.fdopen(number, "wb") as target:
            lock(target)  # so that nobody takes it for abandoned
            if before is None or not os.path.samestat(before, os.fstat(source.fileno())):
                raise ConversionError(f"{path} was replaced meanwhile. Run the command again.")
            source.seek(header.size)
            target.write(new_header)
            done = 0
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
                done += len(chunk)
                yield done, 2 * (size - header.size)
            target.flush()
            os.fsync(target.fileno())
            shutil.copymode(path, copy)
            for done in _check(copy, path, len(new_header), digest.hexdigest()):
                yield size - header.size + done, 2 * (size - header.size)
            check_opens([copy, *files[1:]])
        copy.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        if copy != path:
            copy.unlink(missing_ok=True)
        if isinstance(error, OSError):
            where = path.parent if copy == path else copy
            reason = f"Cannot write {where}: {error.strerror or error}. {path.name} is as it was."
            raise ConversionError(reason) from error
        raise


def _beginning(path: Path) -> str:
    """The beginning of the names of a file's copies: hidden, and no app lists their ending."""
    return f".{path.name}."


def _remove_abandoned(path: Path) -> None:
    """Remove copies of the file that a kill or a power loss left behind."""
    for found in path.parent.glob(f"{glob.escape(_beginning(path))}*{PARTIAL}"):
        with suppress(OSError):
            if found.is_symlink() or not found.is_file():
                continue
            with found.open("rb") as file:
                if lock(file):
                    found.unlink()


def _check(path: Path, original: Path, start: int, expected: str) -> Iterator[int]:
    """Read the tensors of a copy back; yields bytes done.

    Raises:
        ConversionError: they are not as expected.
    """
    digest = sha256()
    done = 0
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            yield done
    if digest.hexdigest() != expected:
        raise ConversionError(
            f"The copy of {original.name} is not what was written. "
            "Is the disk sound? The file itself is as it was."
        )


def _shards(path: Path) -> list[Path]:
    """The shards of a split model, the first one first; of another model its file alone.

    Raises:
        ConversionError: `path` is a later shard, which has no metadata.
    """
    found = shard_paths(path)
    if parse_name(path.name).number != 1:
        raise ConversionError(
            f"{path.name} is a later shard: the metadata is in {found[0].name}. Name that file."
        )
    return found


def _check_room(path: Path, size: int) -> None:
    free = free_space(path.parent)
    if size > free:
        raise ConversionError(
            f"The copy of {path} takes {size:,} bytes beside it, and {free:,} are free. Make room."
        )
