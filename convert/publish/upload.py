"""Uploads a folder to the hub: the files to send, checked against SHA256SUMS, and sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, Protocol

from relay_gguf.disk import CHUNK, EARLIER_PARTIAL, PARTIAL, write_whole
from relay_gguf.display import listed, one_line, size
from relay_gguf.errors import ConversionError
from relay_gguf.version import __version__

from .folder import PAGE, SUMS, card_for, read_entries, read_sums

UploadState = Literal["new", "changed", "there"]

SMALL: Final = 10_000_000
"""Bytes of the largest file that git itself may hold, under the SHA-1 of a header and the file."""
UNFINISHED: Final = (EARLIER_PARTIAL, PARTIAL)
"""Endings of files that are not whole."""


@dataclass(frozen=True, slots=True)
class UploadItem:
    """A file, its bytes, and whether the hub has it."""

    name: str
    size: int
    state: UploadState


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """The files of a folder that an upload sends, and those that it leaves out.

    `page` is README.md with the repository's name in it, if that has to be written first.
    """

    folder: Path
    repo: str
    items: tuple[UploadItem, ...]
    left_out: tuple[str, ...] = ()
    page: bytes | None = None

    @property
    def to_send(self) -> tuple[UploadItem, ...]:
        """The files that the hub does not have."""
        return tuple(item for item in self.items if item.state != "there")

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(item.size for item in self.to_send)


class Send(Protocol):
    """Puts files into a repository on the hub in one commit; makes a repository that is missing."""

    def __call__(self, repo: str, files: Mapping[str, Path], *, private: bool, message: str) -> str:
        """Send files; the address of the commit.

        Args:
            repo: `owner/name`.
            files: name in the repository → file.
            private: make a new repository private.
            message: of the commit.
        """


def plan_upload(
    folder: Path,
    repo: str,
    there: Mapping[str, str] | None = None,
    on_bytes: Callable[[int], None] = lambda n_bytes: None,
) -> UploadPlan:
    """Plan an upload; reads all files of the folder.

    Args:
        folder: with GGUF files, README.md and SHA256SUMS.
        repo: `owner/name` on the hub.
        there: name → SHA-256 of each file in the repository, or git's SHA-1 of a small file.
        on_bytes: is called with the size of each piece that is read.

    Raises:
        ConversionError: the folder does not exist or lacks a file, or a file does not have its
            SHA-256 of SHA256SUMS.
    """
    try:
        names, left_out = _names(folder)
        sums = read_sums(folder)
        _refuse_unlisted(folder, names, sums)
        new_page = _page(folder, repo)
        items = []
        for name in names:
            found = _read(folder / name, new_page if name == PAGE else None, on_bytes)
            if name in sums and found.sha256 != sums[name]:
                raise ConversionError(
                    f"{folder / name} differs from its checksum in {SUMS}: damaged, or changed. "
                    f"Convert it again; if the change was meant, run `relay-gguf card {folder}`."
                )
            items.append(UploadItem(name, found.size, _state((there or {}).get(name), found)))
    except OSError as error:
        where = error.filename or folder
        raise ConversionError(f"Cannot read {where}: {error.strerror or error}.") from error
    return UploadPlan(folder, repo, items=tuple(items), left_out=tuple(left_out), page=new_page)


def upload(plan: UploadPlan, send: Send, *, private: bool = False) -> str:
    """Send the files that the hub lacks; the address of the commit, or empty if it lacks none.

    Raises:
        ConversionError: README.md cannot be written.
        ModelError: the hub cannot be reached, or refuses the upload.
    """
    if not plan.to_send:
        return ""
    if plan.page is not None:
        try:
            write_whole(plan.folder / PAGE, plan.page)
        except OSError as error:
            raise ConversionError(f"Cannot write {plan.folder / PAGE}: {error}.") from error
    files = {item.name: plan.folder / item.name for item in plan.to_send}
    message = f"{total(plan)}, by relay-gguf {__version__}"
    return send(plan.repo, files, private=private, message=message)


def total(plan: UploadPlan) -> str:
    """`3 files, 7.48 GB`."""
    n_files = len(plan.to_send)
    return f"{n_files} file{'s' if n_files > 1 else ''}, {size(plan.size)}"


def plan_lines(plan: UploadPlan, *, compared: bool) -> Iterator[str]:
    """The files to send and those left out, in lines for a person."""
    if not compared:
        yield "The hub cannot be asked which of these files it has."
    for item in plan.items:
        state = item.state if compared else ""
        yield f"{state:7}  {size(item.size):>8}  {one_line(item.name)}"
    if plan.left_out:
        yield one_line(f"Left out: {listed(plan.left_out)}")


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files to send, GGUF files first; and names of the entries that are left out."""
    if not folder.is_dir():
        raise ConversionError(f"There is no folder {folder}. Give the --out of a conversion.")
    names, left_out = [], []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.name.endswith(UNFINISHED)
        if hidden or not path.is_file():
            left_out.append(path.name)
        else:
            names.append(path.name)
    names.sort(key=lambda name: (not name.endswith(".gguf"), name))
    if not names or not names[0].endswith(".gguf"):
        raise ConversionError(f"{folder} has no GGUF file. Give the --out of a conversion.")
    return names, left_out


def _refuse_unlisted(folder: Path, names: Sequence[str], sums: Mapping[str, str]) -> None:
    """Every GGUF file has a checksum, and every checksum a file."""
    unlisted = [name for name in names if name.endswith(".gguf") and name not in sums]
    lost = [name for name in sums if name not in names]
    if SUMS not in names or PAGE not in names or unlisted or lost:
        what = (
            f"{SUMS} does not have {listed(unlisted)}"
            if unlisted
            else f"{SUMS} lists {listed(lost)}, which is not there"
            if lost
            else f"{folder} has no {PAGE} or no {SUMS}"
        )
        raise ConversionError(f"{what}. `relay-gguf card {folder}` writes both anew.")


def _page(folder: Path, repo: str) -> bytes | None:
    """The README.md to write, if the one there is relay-gguf's and another one."""
    entries, _ = read_entries(folder)
    card = card_for(folder, entries, repo) if entries else None
    return None if card == (folder / PAGE).read_bytes() else card


@dataclass(frozen=True, slots=True)
class _Found:
    """The digests by which the hub knows a file."""

    size: int
    sha256: str
    blob: str


def _read(path: Path, data: bytes | None, on_bytes: Callable[[int], None]) -> _Found:
    """The digests of a file, or of the bytes that it will have."""
    n_bytes = path.stat().st_size if data is None else len(data)
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % n_bytes, usedforsecurity=False)
    with path.open("rb") if data is None else BytesIO(data) as file:
        while piece := file.read(CHUNK):
            sha256.update(piece)
            if n_bytes <= SMALL:
                blob.update(piece)
            on_bytes(len(piece))
    return _Found(n_bytes, sha256.hexdigest(), blob.hexdigest())


def _state(known: str | None, found: _Found) -> UploadState:
    if known is None:
        return "new"
    return "there" if known in (found.sha256, found.blob) else "changed"
