"""One file on the hub: its size and checksum, its bytes or parts of them, its GGUF header."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.header import MAGIC, Header, parse_header

from .api import RemoteFile, explained
from .checksum import is_sha256
from .repo import kind_of

AT_ONCE: Final = 40 * 10**9
"""Bytes of one request; the hub refuses requests for more than 50 GB."""
HEADER_SIZES: Final = tuple(1 << bits for bits in (18, 21, 23, 25, 27))
"""Bytes of a file to read until they hold its header: 256 KiB to 128 MiB. With a vocabulary of
130,000 tokens a header takes 6 to 10 MB."""
_ETAG = re.compile(r"[\w-]+", re.ASCII)


def look_up(repo: str, commit: str, file: RemoteFile) -> RemoteFile:
    """A file with its size and checksums as the hub tells them; a gated repository refuses here.

    Raises:
        ModelError: the file is not open to this user, or the hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    owned, kind = kind_of(repo)
    with explained(f"{repo}/{file.name}", repo):
        url = hf_hub_url(owned, file.name, repo_type=kind, revision=commit or None)
        found = get_hf_file_metadata(url)
    etag = found.etag or ""
    sha256 = file.sha256 or (etag if is_sha256(etag) else "")
    size, blob = file.size or found.size or 0, sha256 or file.blob or etag
    if not size or not _ETAG.fullmatch(blob):  # the blob becomes the name of a file
        raise ModelError(f"The hub tells no size or no checksum of {repo}/{file.name}.")
    return replace(file, size=size, sha256=sha256, blob=blob)


def stream(
    repo: str, commit: str, name: str, start: int, stop: int, size: int = 0
) -> Generator[tuple[int, bytes], None, None]:
    """A file's bytes from `start` to `stop` as they arrive: (offset in the file, bytes) pairs.

    A server may begin at 0 whatever was asked, may send more, and may end before `stop`. `size` is
    the file's where it is known: something of another size, as a proxy's page, is not the file.

    Raises:
        UnreachableError: the connection broke, or the hub cannot answer now.
        ModelError: the file is not there, or not open to this user; or the server begins later,
            or sends something else.
    """
    from huggingface_hub import hf_raise_for_status

    with _answer(repo, commit, name, start, min(start + AT_ONCE, stop)) as response:
        hf_raise_for_status(response)
        said = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        at = int(said[1]) if said else start if response.status_code == 206 else 0
        told = _told_size(response.status_code, response.headers)
        if at > start or (size and told not in (0, size)):
            raise other_bytes(name)
        for data in response.iter_bytes():
            yield at, data
            at += len(data)


def _told_size(status: int, headers: Mapping[str, str]) -> int:
    """Bytes of the whole file, as a server tells them; 0 if it does not."""
    if said := re.search(r"/(\d+)$", headers.get("Content-Range", "")):
        return int(said[1])
    is_whole = status == 200 and "Content-Encoding" not in headers
    return int(headers.get("Content-Length", 0)) if is_whole else 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file on its way: its bytes, and what the server says of the whole file.

    `address` is where the bytes come from, after redirects; `etag` is that server's. `linked` is
    the hub's own checksum of the file, empty where the hub was not asked. `size` is the file's.
    """

    pieces: Iterator[bytes]
    address: str
    etag: str
    linked: str
    size: int


@contextmanager
def open_part(
    repo: str, commit: str, name: str, start: int, stop: int, address: str = ""
) -> Iterator[Part]:
    """Ask for bytes [start, stop) of a file, and for nothing else.

    Args:
        repo: OWNER/NAME.
        commit: of the repository.
        name: of the file in it.
        start: the first byte.
        stop: the byte behind the last one.
        address: where an earlier part came from, to spare a redirect; empty asks the hub. The
            user's token goes to the hub alone.

    Raises:
        UnreachableError: the connection broke, or the server cannot answer now.
        ModelError: the server has no parts, or no such part; the file is not there, or not open to
            this user.
    """
    from huggingface_hub import hf_raise_for_status

    what = f"{repo}/{name}"
    with _answer(repo, commit, name, start, stop, address) as response:
        if response.status_code == 416:
            raise ModelError(f"{what} is shorter than it was.")
        hf_raise_for_status(response)
        said = re.match(r"bytes (\d+)-\S*/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code != 206 or said is None:
            raise ModelError(
                f"{urlsplit(str(response.url)).hostname} sends {name} only whole, and not the part "
                "that it is asked for. --keep-source downloads whole files."
            )
        if int(said[1]) != start:
            raise other_bytes(name)
        linked = (first.headers.get("X-Linked-Etag", "") for first in response.history)
        yield Part(
            response.iter_bytes(),
            str(response.url),
            response.headers.get("ETag", ""),
            next(filter(None, linked), "").removeprefix("W/").strip('"'),
            int(said[2]),
        )


@contextmanager
def _answer(
    repo: str, commit: str, name: str, start: int, stop: int, address: str = ""
) -> Iterator[Any]:
    """The answer, of the hub's own client, to a request for bytes [start, stop) of a file."""
    from huggingface_hub import constants, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    owned, kind = kind_of(repo)
    with explained(f"{repo}/{name}", repo):
        hub = hf_hub_url(owned, name, repo_type=kind, revision=commit or None)
        token = None if _origin(address or hub) == _origin(hub) else False
        headers = {**build_hf_headers(token=token), "Accept-Encoding": "identity"}
        headers["Range"] = f"bytes={start}-{stop - 1}"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream(
            "GET", address or hub, headers=headers, timeout=timeout
        ) as response:
            yield response


def other_bytes(name: str) -> ModelError:
    """The error for a server that sends another part of a file than it was asked for."""
    return ModelError(
        f"The hub sends other bytes of {name} than it was asked for. Try again later; a proxy "
        "between here and the hub can be the reason."
    )


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def remote_header(repo: str, file: str, commit: str = "") -> Header:
    """The header of a GGUF file on the hub, downloaded without the tensors.

    Args:
        repo: OWNER/NAME.
        file: its name in the repository.
        commit: empty for the newest.

    Raises:
        ModelError: the file is not there, not open to this user, not a GGUF file, or damaged; or
            the hub cannot be reached.
    """
    what, data = f"{repo}/{file}", b""
    for wanted in HEADER_SIZES:
        for at, piece in stream(repo, commit, name=file, start=len(data), stop=wanted):
            data += piece[max(0, len(data) - at) :]  # a server that began at 0 repeats bytes
            if len(data) >= wanted:
                break
        if len(data) < wanted or not data.startswith(MAGIC):
            break
        with suppress(ModelError):
            return parse_header(data, what)
    return parse_header(data, what)
