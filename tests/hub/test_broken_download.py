"""Downloads that break: a connection, the bytes, or the disk; what came is kept, or refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from downloads import CONTENT, DIGEST, HALF, NAME, PARTS, Notes, leftovers
from hub_server import Handler

from relay_gguf.errors import ModelError
from relay_gguf.hub import cache as hub_cache
from relay_gguf.hub import download as hub_download
from relay_gguf.models.locate import find, locate

# Interrupted


@pytest.mark.parametrize(
    ("ranges", "cuts", "asked"),
    [
        (True, [HALF], [0, HALF]),
        (True, [1000, 0, 0, 1000, 0], [0, 1000, 1000, 1000, 2000, 2000]),
        (False, [HALF], [0, HALF]),
        (False, [HALF, 1000, 1000], [0, HALF, 1000, 1000]),
    ],
)
def test_a_connection_that_breaks(
    server: type[Handler], ranges: bool, cuts: list[int], asked: list[int]
) -> None:
    server.mood.ranges, server.mood.cuts = ranges, cuts
    assert locate("o/r").read_bytes() == CONTENT
    assert [int(said.partition("-")[0]) for said in server.asked] == asked


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_hiccups(server: type[Handler], status: int) -> None:
    server.mood.statuses = [status, status]
    assert locate("o/r").read_bytes() == CONTENT


def test_a_server_that_says_when_to_come_back(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that asks for a minute is not asked five times in half a minute, and given up."""
    waited: list[float] = []
    monkeypatch.setattr(hub_download.time, "sleep", waited.append)
    server.mood.statuses, server.mood.retry_after = [429, 503], "60"
    assert locate("o/r").read_bytes() == CONTENT
    assert list(filter(None, waited)) == [60.0, 60.0]


def test_the_host_of_the_bytes_refuses(server: type[Handler]) -> None:
    """It is not the user's token, nor the repository's name."""
    server.mood.statuses = [403]
    said = rf"^localhost, where the hub keeps o/r/{NAME}, answered 403\. A proxy or firewall"
    with pytest.raises(ModelError, match=said):
        locate("o/r")


def test_a_connection_that_stays_broken(server: type[Handler], folder: Path) -> None:
    server.mood.cuts = [100_000, 0, 0, 0]
    said = rf"The download of {NAME} broke at 100 KB of 400 KB: Cannot reach .* goes on"
    with pytest.raises(ModelError, match=said):
        locate("o/r")
    assert find("o/r") is None, "nothing looks whole"
    assert leftovers(folder) == [f"{DIGEST}.relay-gguf-partial"]
    server.asked.clear()
    notes = Notes()
    assert locate("o/r", notes).read_bytes() == CONTENT
    assert server.asked == [f"100000-{len(CONTENT) - 1}"]
    assert notes.asked[0].missing == len(CONTENT) - 100_000
    assert notes.checked[-1] == (100_000, len(CONTENT))
    assert leftovers(folder) == []


def test_a_file_larger_than_one_answer(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.hub.file.AT_ONCE", 150_000)
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == ["0-149999", "150000-299999", f"300000-{len(CONTENT) - 1}"]


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (CONTENT[:1234], f"1234-{len(CONTENT) - 1}"),
        (CONTENT, ""),
        (CONTENT + b"more", f"0-{len(CONTENT) - 1}"),
        (b"", f"0-{len(CONTENT) - 1}"),
    ],
)
def test_what_is_there_already(
    server: type[Handler], folder: Path, there: bytes, asked: str
) -> None:
    partial = hub_cache.repo_cache("o/r").partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(there)
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == [asked] * bool(asked)


def test_what_was_begun_of_an_older_file(server: type[Handler], folder: Path) -> None:
    cache = hub_cache.repo_cache("o/r")
    other = sha256(PARTS["F16/r-F16-00001-of-00003.gguf"]).hexdigest()
    for digest in ("e" * 64, other):
        cache.partial(digest).parent.mkdir(parents=True, exist_ok=True)
        cache.partial(digest).write_bytes(b"GGUF")
    locate("o/r")
    assert leftovers(folder) == [f"{other}.relay-gguf-partial"], "that one goes on one day"


def test_what_was_begun_stays_while_an_older_file_is_downloaded(
    server: type[Handler], folder: Path
) -> None:
    """A revision need not have the files of the newest commit, of which one is on its way."""
    newest = hub_cache.repo_cache("o/r").partial("e" * 64)
    newest.parent.mkdir(parents=True)
    newest.write_bytes(b"GGUF")
    assert locate("o/r@v1").read_bytes() == CONTENT
    assert leftovers(folder) == [newest.name]


# Damaged


def test_the_wrong_content(server: type[Handler], folder: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    server.mood.lies = {DIGEST: wrong}
    with pytest.raises(ModelError) as damaged:
        locate("o/r")
    assert str(damaged.value).startswith(
        f"{NAME} came damaged from o/r: its checksum is {sha256(wrong).hexdigest()} and should be "
        f"{DIGEST}. It was deleted: run the same command again."
    )
    assert find("o/r") is None
    assert leftovers(folder) == []
    server.mood.lies = {}
    assert locate("o/r").read_bytes() == CONTENT


@pytest.mark.parametrize("lie", [CONTENT + b"?", CONTENT[: HALF - 1]])
def test_the_wrong_size(server: type[Handler], lie: bytes) -> None:
    server.mood.lies, server.mood.ranges = {DIGEST: lie}, False
    with pytest.raises(ModelError, match=r"sends other bytes of|The server stopped too early"):
        locate("o/r")
    assert find("o/r") is None


def test_the_disk_damages_it(server: type[Handler], folder: Path) -> None:
    server.mood.cuts = [HALF, 0, 0, 0]
    with pytest.raises(ModelError, match="broke"):
        locate("o/r")
    with hub_cache.repo_cache("o/r").partial(DIGEST).open("r+b") as file:
        file.write(b"gguf")
    with pytest.raises(ModelError, match=r"came damaged.*run the same command again"):
        locate("o/r")
    assert locate("o/r").read_bytes() == CONTENT


def test_a_page_in_place_of_the_file(server: type[Handler]) -> None:
    """A proxy that answers for the host of the bytes costs nothing of what is here already."""
    partial = hub_cache.repo_cache("o/r").partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:HALF])
    server.mood.lies, server.mood.ranges = {DIGEST: b"<html>Please log in</html>"}, False
    with pytest.raises(ModelError, match=rf"sends other bytes of {NAME} .* a proxy between"):
        locate("o/r")
    assert partial.read_bytes() == CONTENT[:HALF]


@pytest.mark.parametrize(
    "name", ["../../evil.gguf", "/evil.gguf", "..\\evil.gguf", "C:evil.gguf", "C:/evil.gguf"]
)
def test_a_name_that_leads_out(
    server: type[Handler], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "repos", {"o/r": {name: CONTENT}})
    with pytest.raises(ModelError, match="cannot be a file's name here"):
        locate("o/r")
    assert server.asked == []


# The disk


def test_a_download_that_does_not_fit_on_the_disk_is_refused(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = hub_cache.repo_cache("o/r").partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:100_000])
    monkeypatch.setattr(hub_cache.RepoCache, "free", lambda self: 299_000)
    said = rf"{NAME} needs 300 KB more, and 299 KB are free in .*Free some space, or set HF_HOME"
    with pytest.raises(ModelError, match=said):
        locate("o/r")
    assert server.asked == []
    monkeypatch.setattr(hub_cache.RepoCache, "free", lambda self: 300_000)
    assert locate("o/r").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, rf"{NAME} needs \d\d\d KB more, .* Downloaded bytes are kept"),
        (errno.EACCES, r"Cannot write to the hub's cache in .*: Permission denied. HF_HOME names"),
    ],
)
def test_the_disk_refuses_in_the_middle(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    growing: Any = hub_download._Growing
    add: Callable[[Any, bytes], None] = growing.add

    def full(self: Any, data: bytes) -> None:
        if self.size > 50_000:
            raise OSError(number, os.strerror(number))
        add(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(growing, "add", full)
        with pytest.raises(ModelError, match=message):
            locate("o/r")
    there = hub_cache.repo_cache("o/r").partial_size(DIGEST)
    assert there > 50_000
    server.asked.clear()
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == [f"{there}-{len(CONTENT) - 1}"]
