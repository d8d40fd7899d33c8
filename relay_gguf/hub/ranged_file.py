"""A file of a repository at a commit, read by parts: retried, and refused where it changes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from threading import Event
from typing import Final

from relay_gguf.display import size
from relay_gguf.errors import ModelError

from .api import RemoteFile, UnreachableError
from .file import Part, open_part
from .intake import Intake, StoppedError

WAITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds to wait before each retry, two minutes in all; new bytes start the list again."""


class RangedFile:
    """A file that may be read from several threads; `name` is the one in its repository.

    The commit never changes, but what a server has for it may: the first answers tell the file's
    size and checksums, and all later ones must tell the same. `head` are its first bytes, if they
    are kept, and `checked` is whether all its bytes were read in order and have its SHA-256.
    """

    def __init__(self, repo: str, commit: str, file: RemoteFile, intake: Intake) -> None:
        """Describe a file; nothing is asked yet."""
        self.repo, self.commit = repo, commit
        self.name, self.size, self.sha256 = file.name, file.size, file.sha256
        self.intake = intake
        self.head = b""
        self.checked = False
        self._address = ""  # where the last part came from
        self._etags = {"": file.sha256} if file.sha256 else {}  # by address; the hub's own is ""

    def read(self, start: int, stop: int, stopped: Event | None = None) -> bytearray:
        """Bytes [start, stop).

        Raises:
            ModelError: as `read_into`.
        """
        data = bytearray(stop - start)
        self.read_into(memoryview(data), start, stopped=stopped)
        return data

    def read_into(
        self,
        target: memoryview,
        start: int,
        on_bytes: Callable[[int], None] = lambda n_bytes: None,
        stopped: Event | None = None,
    ) -> None:
        """Fill `target` with the bytes from `start` on, over as many connections as it takes.

        Args:
            target: the memory for them.
            start: the first byte's offset in the file.
            on_bytes: is called with the number of bytes that are there, as they arrive.
            stopped: is set when nobody wants the bytes any more.

        Raises:
            StoppedError: `stopped` was set.
            ModelError: the hub does not answer for minutes, or refuses; it has only whole files;
                or the file changed.
        """
        stopped = stopped or Event()
        at, waits = 0, iter(WAITS)
        while at < len(target):
            if stopped.is_set():
                raise StoppedError
            before, asked, address = at, 0.0, self._address
            why = f"The hub stopped in the middle of {self.name}."
            try:
                with closing(self._part(start + at, start + len(target), address)) as pieces:
                    for data in pieces:
                        if at + len(data) > len(target):
                            raise ModelError(f"The hub sends more of {self.name} than was asked.")
                        target[at : at + len(data)] = data
                        at += len(data)
                        self.intake.add(len(data))
                        on_bytes(at)
                        if stopped.is_set():
                            break
            except UnreachableError as error:
                why, asked = str(error), error.wait
                self._forget(address)
                if stopped.is_set():
                    continue  # nobody is told that it will be tried again
            except ModelError:
                if not address:
                    raise
                self._forget(address)  # it was good for an hour or so: ask the hub anew
                continue
            if at > before:
                waits = iter(WAITS)
            elif (wait := next(waits, None)) is not None:
                self.intake.pause(max(wait, asked), why, stopped)
            else:
                raise ModelError(
                    f"Reading {self.name} from the hub broke at {size(start + at)} of "
                    f"{size(self.size)}: {why} Run the same command again: it goes on from there."
                )

    def _part(self, start: int, stop: int, address: str) -> Generator[bytes]:
        """What one connection brings of a part."""
        with open_part(self.repo, self.commit, self.name, start, stop, address) as part:
            self._check(part)
            self._address = part.address
            yield from part.pieces

    def _forget(self, address: str) -> None:
        if self._address == address:  # no other thread has a newer one
            self._address = ""

    def _check(self, part: Part) -> None:
        """Refuse another file than the one that was begun.

        Raises:
            ModelError: it is another.
        """
        server = part.address.partition("?")[0]
        known = self._etags.setdefault(server, part.etag)
        linked = self._etags.setdefault("", part.linked) if part.linked else ""
        if part.size == self.size and part.etag == known and part.linked == linked:
            return
        was, now = (known, part.etag) if part.etag != known else (linked, part.linked)
        if part.size != self.size:
            was, now = f"{self.size} bytes", f"{part.size} bytes"
        raise ModelError(
            f"{self.name} changed on the hub while it was read: it was {was}, and is {now}. Begin "
            "anew with --restart."
        )
