"""The bytes of a log as lines of text.

IRC has no encoding. A line is decoded as UTF-8 if it can be, else as Windows-1252, which clients
wrote before. A line in UTF-8 with a character cut in half (a server cuts at 512 bytes) loses only
that half.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from relay_gguf.errors import ConversionError

LONGEST: Final = 1 << 16
"""Bytes of the longest line; IRC has 512, bridges and bouncers more."""

HEAD: Final = 8192
"""Bytes at the beginning of a file that are searched for a NUL, which text does not have."""

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_MULTIBYTE: Final = re.compile(
    rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_CUT: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})$")


def text_of(raw: bytes) -> str:
    """The text of a line's bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if _CUT.search(raw) or _MULTIBYTE.search(raw):
            return raw.decode("utf-8", "ignore")
        try:
            return raw.decode("cp1252")
        except UnicodeDecodeError:
            return raw.decode("latin-1")


def lines_of(path: Path) -> Iterator[str | None]:
    """The lines of a file, which may be gzipped, without their line ends.

    None stands for a line that is longer than `LONGEST`.

    Raises:
        ConversionError: the file is not text, or cannot be read to its end.
    """
    try:
        with _opened(path) as file:
            head = file.peek(HEAD)[:HEAD]
            if head.startswith(_UTF16):
                yield from _wide_lines(file)
                return
            if b"\0" in head:
                raise ConversionError("it is not text (it has NUL bytes)")
            while raw := file.readline(LONGEST):
                if len(raw) == LONGEST and not raw.endswith(b"\n"):
                    _skip_rest(file)
                    yield None
                else:
                    yield text_of(raw.rstrip(b"\r\n"))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConversionError(f"the gzip file is damaged ({error})") from error
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from error


def _wide_lines(file: io.BufferedReader) -> Iterator[str | None]:
    """The lines of a file in UTF-16, which some clients on Windows write."""
    with io.TextIOWrapper(file, encoding="utf-16", errors="replace", newline="\n") as text:
        while raw := text.readline(LONGEST):
            if len(raw) < LONGEST or raw.endswith("\n"):
                yield raw.rstrip("\r\n")
                continue
            while (rest := text.readline(LONGEST)) and not rest.endswith("\n"):
                pass
            yield None


def _opened(path: Path) -> io.BufferedReader:
    file: io.BufferedReader = io.BufferedReader(io.FileIO(path), 1 << 18)
    if file.peek(2)[:2] == b"\x1f\x8b":
        file.close()
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(path, "rb")), 1 << 18)
    return file


def _skip_rest(file: io.BufferedIOBase) -> None:
    while rest := file.readline(LONGEST):
        if rest.endswith(b"\n"):
            return
