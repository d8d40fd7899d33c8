"""The size of a file that is asked for: in bytes, or in bits per weight."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from relay_gguf.errors import ConversionError

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
_MOST_BITS: Final = 32.0


@dataclass(frozen=True, slots=True)
class SizeTarget:
    """The bytes of a whole file, or the bits per weight of its tensors; one of both is None."""

    n_bytes: int | None = None
    bits: float | None = None

    def limit(self, header: int, n_weights: int) -> int:
        """The most bytes of a file whose header has `header` bytes, of a model of `n_weights`."""
        if self.n_bytes is not None:
            return self.n_bytes
        return header + int((self.bits or 0.0) * n_weights / 8)

    @property
    def in_words(self) -> str:
        """`--target-size 7,000,000,000 bytes`, or `--target-bpw 4.5`."""
        if self.n_bytes is not None:
            return f"--target-size {self.n_bytes:,} bytes"
        return f"--target-bpw {self.bits:g}"


def size_target(size: str | None, bits: float | None) -> SizeTarget | None:
    """The target of command line options; None if there is none.

    Args:
        size: `7GB`, `6.5G`, `700M` in powers of 1000, `6.5GiB` in powers of 1024.
        bits: per weight.

    Raises:
        ConversionError: both are given, or one is not a size.
    """
    if size is None and bits is None:
        return None
    if size is not None and bits is not None:
        raise ConversionError("--target-size and --target-bpw both say how large: give one.")
    if bits is not None:
        if not (math.isfinite(bits) and 0 < bits <= _MOST_BITS):
            raise ConversionError(f"--target-bpw is {bits:g}; it should be like 4.5.")
        return SizeTarget(bits=bits)
    return SizeTarget(n_bytes=parse_size(str(size), "--target-size", "7GB or 700MB"))


def parse_size(text: str, option: str, like: str) -> int:
    """Bytes of `7GB`, `6.5G` or `700M` in powers of 1000, of `6.5GiB` in powers of 1024.

    Args:
        text: what was given.
        option: where it was given, for the error.
        like: an example, for the error.

    Raises:
        ConversionError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]I?|)B?", text.strip().upper(), re.ASCII)
    n_bytes = int(float(match[1]) * _UNITS[match[2]]) if match and len(match[1]) < 20 else 0
    if not n_bytes:
        raise ConversionError(f"{option} is {text!r}; it should be like {like}.")
    return n_bytes
