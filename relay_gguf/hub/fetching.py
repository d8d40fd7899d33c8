"""Files of a repository at a commit, read by parts, with what is fetched ahead while it is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .ahead import Ahead, Extent
from .intake import Intake
from .ranged_file import RangedFile


class Fetching:
    """Files of a repository at a commit, read by parts: all through one account of the intake."""

    def __init__(self, files: Sequence[RangedFile], intake: Intake) -> None:
        self.files, self.intake = files, intake
        self._ahead: Ahead | None = None

    def read(self, extent: Extent) -> bytearray:
        """The bytes of an extent.

        Raises:
            StoppedError: what was fetched ahead ended with an error or was stopped.
            ModelError: as `RangedFile.read_into`.
        """
        ahead = self._ahead
        if ahead is None:
            return extent.file.read(extent.start, extent.stop)
        data, at = bytearray(extent.size), 0
        for part in ahead.read(extent):
            data[at : at + len(part)] = part
            at += len(part)
        return data

    @contextmanager
    def ahead(self, extents: Sequence[Extent]) -> Iterator[None]:
        """Fetch extents ahead, in the order in which they will be read, while this is open.

        Raises:
            ConversionError: a file that was read whole and in order has another SHA-256 than the
                hub told.
        """
        self.intake.begin(sum(extent.size for extent in extents))
        self._ahead = ahead = Ahead(extents)
        try:
            yield
            ahead.check()
        finally:
            ahead.close()
        self._ahead = None  # but not after an error: threads that still read are to end too
