"""The texts in a PNG image: its chunks tEXt, zTXt and iTXt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, Final

from relay_gguf.errors import CardError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_TEXT: Final = 1 << 24
"""Bytes of one text at most, compressed or not: 16 MiB."""
MAX_CHUNKS: Final = 1 << 16
_HEAD = struct.Struct(">I4s")


def texts(file: BinaryIO, keywords: Iterable[str]) -> dict[str, bytes]:
    """The texts of an image that have these keywords, uncompressed but not decoded.

    Args:
        file: an image, open at its beginning; pixels are passed over.
        keywords: in lower case. Of two texts with one keyword the first counts; no other text is
            uncompressed.

    Raises:
        CardError: the image is cut off or damaged, or a text is longer than `MAX_TEXT`.
    """
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise CardError("it does not begin as a PNG image does")
    wanted, result = set(keywords), dict[str, bytes]()
    for _ in range(MAX_CHUNKS):
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise CardError("the image is cut off; get the file again")
        length, kind = _HEAD.unpack(head)
        if kind == b"IEND":
            return result
        if kind not in _READERS:
            file.seek(length + 4, 1)
            continue
        if length > MAX_TEXT:
            raise CardError(f"a text in it has {length} bytes, more than any card needs")
        data, check = file.read(length), file.read(4)
        if len(data) < length or len(check) < 4:
            raise CardError("the image is cut off; get the file again")
        if zlib.crc32(kind + data) != int.from_bytes(check, "big"):
            raise CardError("a text in it is damaged; get the file again")
        name, _, rest = data.partition(b"\0")
        keyword = name.decode("latin-1").lower()
        if keyword in wanted - result.keys():
            result[keyword] = _READERS[kind](rest)
    raise CardError(f"the image has more than {MAX_CHUNKS} chunks")


def _plain(data: bytes) -> bytes:
    return data


def _compressed(data: bytes) -> bytes:
    """The text of a zTXt chunk: the method, then the compressed text."""
    return _inflate(data[1:])


def _international(data: bytes) -> bytes:
    """The text of an iTXt chunk: flag, method, language, keyword in that language, text."""
    _, _, rest = data[2:].partition(b"\0")
    _, _, text = rest.partition(b"\0")
    return _inflate(text) if data[:1] == b"\1" else text


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MAX_TEXT)
    except zlib.error as error:
        raise CardError("a compressed text in it is damaged; get the file again") from error
    if not stream.eof:
        too_long = len(text) == MAX_TEXT
        raise CardError(
            f"a compressed text in it is longer than {MAX_TEXT} bytes"
            if too_long
            else "a compressed text in it is cut off; get the file again"
        )
    return text


_READERS: Final = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}
