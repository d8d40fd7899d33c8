"""Parts of files fetched ahead: the right bytes, in bounded memory, whatever the reader does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Event
from typing import Any

import pytest

from relay_gguf.errors import ConversionError
from relay_gguf.hub.ahead import Ahead, Check, Extent, FetchedPiece
from relay_gguf.hub.intake import StoppedError

CONTENT = random.Random(2).randbytes(5000)


class FakeFile:
    """A file whose bytes come a few at a time; `begun` are the parts that were asked for."""

    def __init__(self, content: bytes = CONTENT, head: int = 0) -> None:
        self.content, self.size, self.head = content, len(content), content[:head]
        self.name, self.repo, self.sha256 = "f", "o/r", sha256(content).hexdigest()
        self.checked = False
        self.begun: list[tuple[int, int]] = []
        self.gate = Event()
        self.gate.set()

    def read_into(
        self,
        target: memoryview,
        start: int,
        on_bytes: Callable[[int], None] = lambda n: None,
        stopped: Event | None = None,
    ) -> None:
        self.begun.append((start, start + len(target)))
        for at in range(0, len(target), 16):
            while not self.gate.wait(0.01):
                if stopped is not None and stopped.is_set():
                    raise StoppedError
            part = self.content[start + at : start + min(at + 16, len(target))]
            target[at : at + len(part)] = part
            on_bytes(at + len(part))

    def read(self, start: int, stop: int, stopped: Event | None = None) -> bytearray:
        data = bytearray(stop - start)
        self.read_into(memoryview(data), start, stopped=stopped)
        return data


def extent(file: Any, start: int, stop: int) -> Extent:
    return Extent(file, start, stop)


def read(ahead: Ahead, wanted: Extent) -> bytes:
    return b"".join(map(bytes, ahead.read(wanted)))


def test_bytes_come_once_and_in_order_of_the_plan() -> None:
    file = FakeFile()
    plan = [extent(file, 3000, 4000), extent(file, 0, 1000), extent(file, 1000, 1010)]
    ahead = Ahead(plan, limit=300, n_connections=1, piece=64)
    for part in plan:
        for start in range(part.start, part.stop, 100):
            stop = min(start + 100, part.stop)
            assert read(ahead, extent(file, start, stop)) == CONTENT[start:stop]
    ahead.close()
    assert file.begun == [
        (start, min(start + 64, part.stop))
        for part in plan
        for start in range(part.start, part.stop, 64)
    ]


def test_no_more_is_held_than_the_limit() -> None:
    file = FakeFile()
    ahead = Ahead([extent(file, 0, 5000)], limit=300, n_connections=8, piece=100)
    assert read(ahead, extent(file, 0, 50)) == CONTENT[:50]
    ahead.close()
    assert max(stop for _, stop in file.begun) <= 300


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_that_does_not_keep_to_the_plan(seed: int) -> None:
    """It jumps, reads twice, or reads what nobody foresaw, from several threads."""
    rng, files = random.Random(seed), [FakeFile(), FakeFile(CONTENT[::-1])]
    plan = [extent(rng.choice(files), start, start + 400) for start in range(0, 4000, 400)]
    reads = []
    for _ in range(60):
        start = rng.randrange(4900)
        reads.append(extent(rng.choice(files), start, start + rng.randrange(100)))
    ahead = Ahead(plan, limit=500, n_connections=3, piece=150)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: read(ahead, part), reads))
    ahead.close()
    for part, data in zip(reads, found, strict=True):
        assert data == part.file.content[part.start : part.stop]  # type: ignore[attr-defined]


def test_a_tensor_that_is_planned_twice_is_fetched_twice() -> None:
    file = FakeFile()
    ahead = Ahead([extent(file, 0, 90), extent(file, 0, 90)], n_connections=1, piece=50)
    assert [read(ahead, extent(file, 0, 90)) for _ in range(2)] == [CONTENT[:90]] * 2
    ahead.close()
    assert file.begun == [(0, 50), (50, 90)] * 2


def test_closing_wakes_those_who_wait() -> None:
    file = FakeFile()
    file.gate.clear()
    ahead = Ahead([extent(file, 0, 100)])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, ahead, extent(file, 0, 100))
        while not file.begun:
            pass
        ahead.close()
        with pytest.raises(StoppedError):
            waiting.result()
    for thread in ahead._threads:
        thread.join(20)
    assert not [t for t in threading.enumerate() if t in ahead._threads]


def test_an_error_reaches_its_reader() -> None:
    file: Any = FakeFile()

    def fail(*args: object) -> None:
        raise StoppedError

    file.read_into = fail
    ahead = Ahead([extent(file, 0, 100)])
    with pytest.raises(StoppedError):
        read(ahead, extent(file, 0, 100))
    ahead.close()


@pytest.mark.parametrize(
    ("plan", "checked"),
    [
        ([(10, 2000), (2000, 2000), (2000, 5000)], True),
        ([(10, 5000)], True),
        ([(2000, 5000), (10, 2000)], False),
        ([(10, 4000)], False),
        ([(10, 5000), (10, 100)], False),
    ],
)
def test_a_checksum_needs_the_order_of_the_file(plan: list[tuple[int, int]], checked: bool) -> None:
    file = FakeFile(head=10)
    ahead = Ahead([extent(file, *part) for part in plan], limit=700, n_connections=4, piece=300)
    for part in plan:
        read(ahead, extent(file, *part))
    ahead.check()
    ahead.close()
    assert file.checked is checked


def test_a_wrong_checksum() -> None:
    file = FakeFile(head=10)
    file.sha256 = "0" * 64
    ahead = Ahead([extent(file, 10, 5000)], piece=300)
    read(ahead, extent(file, 10, 5000))
    with pytest.raises(ConversionError, match=r"f came damaged from o/r.*run the same command"):
        ahead.check()
    ahead.close()


def test_two_threads_that_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One adds to the checksum what the other has just fetched, and looks whether to add."""

    class Overtaken(FetchedPiece):
        @property
        def check(self) -> Check | None:  # type: ignore[override]
            found: Check | None = vars(self)["found"]
            if found is not None and self.whole:
                found.add_whole()  # by the other thread, just then
            return found

        @check.setter
        def check(self, value: Check | None) -> None:
            vars(self)["found"] = value

    monkeypatch.setattr("relay_gguf.hub.ahead.FetchedPiece", Overtaken)
    file = FakeFile(head=10)
    ahead = Ahead([extent(file, 10, 5000)], n_connections=1, piece=500)
    assert read(ahead, extent(file, 10, 5000)) == CONTENT[10:]
    ahead.check()
    ahead.close()
    assert [piece.error for check in ahead._checks for piece in check.pieces] == [None] * 10
