"""Other keys for a GGUF file that exists: its tensors stay as they are, to the byte.

A copy is made beside it, checked, and given the file's name. Hard links and the hub's cache keep
the old bytes; a power loss leaves the old file or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from relay_gguf.conversation.prompt import IM_END, IM_START
from relay_gguf.convert.quantize.ggml import check_opens
from relay_gguf.convert.template import KEY, embedded, kind_of
from relay_gguf.convert.write.output import CHUNK, PARTIAL
from relay_gguf.disk import sync_folder
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import ALIGNMENT, Head, Kind, Value, read_head, write_head
from relay_gguf.gguf_file.name import parse_name, parts


def template_of(path: Path) -> str:
    """The chat template in a file.

    Raises:
        ConversionError: it has none, or cannot be read.
        ModelError: it is no GGUF file.
    """
    found = _head(path).keys.get(KEY)
    if found is None:
        raise ConversionError(f"{path} has no chat template. --write puts ours into it.")
    return str(found.value)


def put_template(path: Path) -> Iterator[tuple[int, int]]:
    """Put our chat template into a file; yields bytes done and in all.

    Raises:
        ConversionError: its vocabulary has no ChatML, or it cannot be written.
        ModelError: it is no GGUF file.
    """
    _parts(path)
    keys = _head(path).keys
    ours = embedded(keys)
    if KEY not in ours or kind_of(ours[KEY].value) != "relay":
        raise ConversionError(
            f"{path} has no {IM_START} and {IM_END} in its vocabulary: Relay speaks ChatML."
        )
    yield from rewrite(path, {name: ours.get(name) for name in keys.keys() | ours.keys()})


def rewrite(path: Path, keys: Mapping[str, Value | None]) -> Iterator[tuple[int, int]]:
    """Set keys of a file, or remove those that are None; yields bytes done and in all.

    Args:
        path: a GGUF file, or the first part of a split one, which has the keys.
        keys: name → value.

    Raises:
        ConversionError: there is no room, the copy is not as it should be, or llama.cpp does not
            open it. The file is as it was then.
        ModelError: it is no GGUF file.
    """
    files = _parts(path)
    head = _head(path)
    kept = {name: value for name, value in head.keys.items() if keys.get(name, value) is not None}
    given = {name: value for name, value in keys.items() if value is not None}
    alignment = head.keys.get("general.alignment", Value(ALIGNMENT, Kind.UINT32)).value
    new_head = write_head(kept | given, head.tensors, alignment)
    size = path.stat().st_size
    _need_room(path, size - head.size + len(new_head))
    partial = path.with_name(path.name + PARTIAL)
    try:
        digest = sha256()
        with path.open("rb") as source, partial.open("wb") as target:
            source.seek(head.size)
            target.write(new_head)
            done = 0
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
                done += len(chunk)
                yield done, 2 * (size - head.size)
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(path, partial)
        for done in _check(partial, len(new_head), digest.hexdigest()):
            yield size - head.size + done, 2 * (size - head.size)
        check_opens([partial, *files[1:]])
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        reason = f"Cannot write {partial}: {error.strerror or error}. {path.name} is as it was."
        raise ConversionError(reason) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _head(path: Path) -> Head:
    try:
        return read_head(path)
    except FileNotFoundError:
        raise ConversionError(f"There is no file {path}. Check the path.") from None
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error


def _check(path: Path, start: int, expected: str) -> Iterator[int]:
    """Read the tensors of a copy back."""
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
            f"The copy of {path.name.removesuffix(PARTIAL)} is not what was written. "
            "Is the disk sound? The file itself is as it was."
        )


def _parts(path: Path) -> list[Path]:
    """All parts of a split file, this one first; just the file where it is whole.

    Raises:
        ConversionError: it is a later part, which has no keys.
    """
    found = parts(path)
    if parse_name(path.name).number != 1:
        raise ConversionError(f"{path.name} is a later part: the keys are in {found[0].name}.")
    return found


def _need_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise ConversionError(
            f"The copy of {path} takes {size:,} bytes beside it, and {free:,} are free."
        )
