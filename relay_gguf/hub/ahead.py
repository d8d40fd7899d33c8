"""Parts of files on the hub, fetched ahead of their reader: several at once, in bounded memory."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Condition, Event, Lock, Thread
from typing import Final

from relay_gguf.errors import ConversionError

from .checksum import Checksum
from .intake import StoppedError
from .ranged_file import RangedFile

PIECE: Final = 4 << 20
"""Bytes of a request: enough for a connection to be fast."""
LIMIT: Final = 32 << 20
"""Bytes that are kept for the reader, or on their way."""
CONNECTIONS: Final = 8
PATIENCE: Final = 0.5
"""Seconds that those who fetch are given to end; what hangs in a connection ends by itself."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, stop) of a file."""

    file: RangedFile
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.stop - self.start


class FetchedPiece:
    """A part of an extent: waiting, on its way, or here until all of it was read."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.data: bytearray | None = None
        self.arrived = 0  # bytes that are here
        self.awaited = 0  # bytes that a reader waits for
        self.n_readers = 0  # who are copying from it
        self.unread = extent.size
        self.error: Exception | None = None
        self.begun = self.whole = False
        self.check: Check | None = None  # which needs its bytes too


class Check:
    """The SHA-256 of a file whose pieces are fetched in its own order, from its head to its end."""

    def __init__(self, file: RangedFile, pieces: Sequence[FetchedPiece]) -> None:
        """Begin with the head of the file."""
        self.file, self.pieces = file, tuple(pieces)
        self._left = deque(pieces)
        self._lock = Lock()
        self._checksum = Checksum(file.sha256, file.size)
        self._checksum.add(file.head)
        for piece in pieces:
            piece.check = self

    def add_whole(self) -> list[FetchedPiece]:
        """Add the pieces that are whole, in order; returns those that are not needed any more."""
        added = []
        with self._lock:
            while self._left and (piece := self._left[0]).whole:
                if piece.data is not None:
                    self._checksum.add(memoryview(piece.data)[: piece.extent.size])
                piece.check = None
                added.append(self._left.popleft())
        return added

    @property
    def is_complete(self) -> bool:
        """Whether all pieces were added."""
        return not self._left

    def end(self) -> None:
        """Compare.

        Raises:
            ConversionError: the bytes have another SHA-256.
        """
        if not self._checksum.fits:
            raise ConversionError(
                f"{self.file.name} came damaged from {self.file.repo}: its checksum is "
                f"{self._checksum.found} and should be {self._checksum.expected}. Nothing that was "
                "made of it is kept: run the same command again."
            )
        self.file.checked = True


class Ahead:
    """Fetches extents in their order, and hands out their bytes, which are read about in it.

    A part that is needed at once goes before the others, even beyond the limit: nobody waits for
    bytes that wait for room.
    """

    def __init__(
        self,
        extents: Iterable[Extent],
        *,
        limit: int = LIMIT,
        n_connections: int = CONNECTIONS,
        piece: int = PIECE,
    ) -> None:
        """Begin to fetch."""
        self._limit = limit
        self._changed = Condition()
        self._waiting: deque[FetchedPiece] = deque()
        self._urgent: deque[FetchedPiece] = deque()
        self._held = 0
        self._size = piece
        self._spare: list[bytearray] = []  # memory that is used again: the system's is slow
        self._closed = Event()
        # By file: where its pieces begin, and the pieces there, as a tensor may be read twice.
        self._pieces: dict[RangedFile, dict[int, deque[FetchedPiece]]] = defaultdict(dict)
        for extent in extents:
            for start in range(extent.start, extent.stop, piece):
                part = FetchedPiece(Extent(extent.file, start, min(start + piece, extent.stop)))
                self._pieces[extent.file].setdefault(start, deque()).append(part)
                self._waiting.append(part)
        self._checks = list(self._in_order())
        self._starts = {file: sorted(pieces) for file, pieces in self._pieces.items()}
        n_threads = min(n_connections, len(self._waiting))
        # Not waited for at the end: one may hang in a dead connection.
        self._threads = [
            Thread(target=self._work, name="fetch", daemon=True) for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def read(self, extent: Extent) -> Iterator[memoryview | bytearray]:
        """The bytes of an extent, in order; what was not foreseen is fetched now.

        Raises:
            ModelError: as `RangedFile.read_into`.
        """
        at = extent.start
        while at < extent.stop:
            stop = min(extent.stop, self._next_start(extent.file, at))
            data, piece = None, self._piece(extent.file, at)
            if piece is not None:
                stop, first = min(stop, piece.extent.stop), piece.extent.start
                data = self._await(piece, stop - first)
            if piece is None or data is None:
                yield extent.file.read(at, stop, self._closed)
            else:
                yield data[at - first : stop - first]
                self._read(piece, stop - at)
            at = stop

    def _in_order(self) -> Iterator[Check]:
        """The checks of files all of whose bytes are fetched once, in the order of the file."""
        by_file: dict[RangedFile, list[FetchedPiece]] = defaultdict(list)
        for piece in self._waiting:
            by_file[piece.extent.file].append(piece)
        for file, pieces in by_file.items():
            ends = [len(file.head), *(piece.extent.stop for piece in pieces)]
            starts = [*(piece.extent.start for piece in pieces), file.size]
            if file.sha256 and file.head and starts == ends:
                yield Check(file, pieces)

    def check(self) -> None:
        """Compare the checksums of files that were read whole and in order.

        Raises:
            ConversionError: one of them has another SHA-256 than the hub told.
        """
        for check in self._checks:
            if any(piece.unread for piece in check.pieces):
                continue
            with self._changed:  # the last bytes may have been read, and not added yet
                while not check.is_complete:
                    if failed := [piece.error for piece in check.pieces if piece.error]:
                        raise failed[0]
                    self._changed.wait()
            check.end()

    def close(self) -> None:
        """End all fetching; readers that wait get an error."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _piece(self, file: RangedFile, at: int) -> FetchedPiece | None:
        """The piece that has a byte; None if none was planned, or all of it was read."""
        starts = self._starts.get(file, [])
        index = bisect_right(starts, at) - 1
        if index < 0:
            return None
        with self._changed:
            pieces = self._pieces[file][starts[index]]
            while pieces and not pieces[0].unread:
                pieces.popleft()
            return pieces[0] if pieces and at < pieces[0].extent.stop else None

    def _next_start(self, file: RangedFile, at: int) -> int:
        """Where the next piece begins after a byte; the file's end if there is none."""
        starts = self._starts.get(file, [])
        index = bisect_right(starts, at)
        return starts[index] if index < len(starts) else file.size

    def _await(self, piece: FetchedPiece, n_bytes: int) -> memoryview | None:
        """The bytes of a piece, once the first `n_bytes` are here; None if all of it was read."""
        with self._changed:
            piece.awaited = max(piece.awaited, n_bytes)  # before the look at what has arrived
            if not piece.begun:
                self._urgent.append(piece)
                self._changed.notify_all()
            while piece.arrived < n_bytes:
                if piece.error is not None:
                    raise piece.error
                if self._closed.is_set():
                    raise StoppedError
                self._changed.wait()
            if piece.data is None:
                return None
            piece.n_readers += 1
            return memoryview(piece.data)

    def _read(self, piece: FetchedPiece, n_bytes: int) -> None:
        """So many bytes of a piece have been read; a piece that was read gives its memory back."""
        with self._changed:
            piece.unread = max(0, piece.unread - n_bytes)
            piece.n_readers -= 1
            self._release(piece)

    def _release(self, piece: FetchedPiece) -> None:
        needed = piece.unread or piece.n_readers or piece.check is not None
        if not needed and piece.data is not None:
            self._spare.append(piece.data)
            piece.data = None
            self._held -= piece.extent.size
            self._changed.notify_all()

    def _work(self) -> None:
        """Fetch one piece after another, until none is left."""
        while (piece := self._next()) is not None:
            extent = piece.extent

            def arrived(n_bytes: int, piece: FetchedPiece = piece) -> None:
                piece.arrived = n_bytes
                if n_bytes >= piece.awaited > 0:
                    with self._changed:
                        self._changed.notify_all()

            try:
                data = self._memory()
                piece.data = data
                target = memoryview(data)[: extent.size]
                extent.file.read_into(target, extent.start, arrived, self._closed)
                piece.whole = True
                if (check := piece.check) is not None:  # another thread may add it meanwhile
                    added = check.add_whole()
                    with self._changed:
                        for other in added:
                            self._release(other)
                        self._changed.notify_all()
            except Exception as error:  # for the reader
                with self._changed:
                    piece.error = error
                    self._changed.notify_all()

    def _memory(self) -> bytearray:
        with self._changed:
            return self._spare.pop() if self._spare else bytearray(self._size)

    def _next(self) -> FetchedPiece | None:
        """The next piece to fetch, once there is room for it; None if there is none."""
        with self._changed:
            while not self._closed.is_set():
                while self._urgent and self._urgent[0].begun:
                    self._urgent.popleft()
                while self._waiting and self._waiting[0].begun:
                    self._waiting.popleft()
                if not self._waiting and not self._urgent:
                    return None
                piece = self._urgent[0] if self._urgent else self._waiting[0]
                fits = self._held + piece.extent.size <= self._limit or not self._held
                if self._urgent or fits:
                    piece.begun = True
                    self._held += piece.extent.size
                    return piece
                self._changed.wait()
            return None
