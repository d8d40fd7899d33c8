"""Types of tensors that a user wants in place of llama.cpp's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay_gguf.errors import ConversionError

from .ftypes import ENCODED, LARGE, Type

MAX_PATTERN: Final = 1000
"""Characters of the longest pattern: C++'s regular expressions recurse, and would end the process
over a very long one."""


@dataclass(frozen=True, slots=True)
class TypeOverrides:
    """Types by patterns of tensor names, and those of the embedding and the output head.

    As in llama-quantize, the first pattern that is found in a name counts, `token_embedding` and
    `output` go before the patterns, and patterns change quantized files only.
    """

    patterns: tuple[tuple[str, Type], ...] = ()
    token_embedding: Type | None = None
    output: Type | None = None

    def of(self, ftype: str) -> TypeOverrides:
        """These, with those that a file type brings by itself: `Q4_K_L`'s are Q8_0."""
        if ftype not in LARGE:
            return self
        return TypeOverrides(
            self.patterns, self.token_embedding or Type.Q8_0, self.output or Type.Q8_0
        )

    @property
    def in_words(self) -> list[str]:
        """`ffn_down=Q6_K`, and the like for the embedding and the output head."""
        named = {"token_embd": self.token_embedding, "output": self.output}
        said = [f"{name}={kind.name}" for name, kind in named.items() if kind is not None]
        return said + [f"{pattern}={kind.name}" for pattern, kind in self.patterns]


def type_overrides(
    patterns: Sequence[str], token_embedding: str | None, output: str | None
) -> TypeOverrides:
    """The overrides of command line options.

    Args:
        patterns: of --tensor-type, `REGEX=TYPE` each.
        token_embedding: the type of --token-embedding-type.
        output: the type of --output-tensor-type.

    Raises:
        ConversionError: a type is not known, or a pattern is not of that form.
    """
    return TypeOverrides(
        tuple(map(_pattern, patterns)),
        None if token_embedding is None else _type("--token-embedding-type", token_embedding),
        None if output is None else _type("--output-tensor-type", output),
    )


def _pattern(given: str) -> tuple[str, Type]:
    """A pattern in small letters, as llama-quantize takes it, and its type."""
    pattern, sign, name = given.rpartition("=")
    if not (pattern and sign and name):
        raise ConversionError(
            f"--tensor-type is {given!r}; it should be REGEX=TYPE, as ffn_down=Q6_K."
        )
    if len(pattern) > MAX_PATTERN or "\0" in pattern:
        raise ConversionError(
            f"--tensor-type {pattern[:20]}... is not a pattern of at most {MAX_PATTERN} characters."
        )
    return _lowered(pattern), _type("--tensor-type", name)


def _lowered(pattern: str) -> str:
    """ASCII letters made small, as C's tolower does; all names of tensors are."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in pattern)


def _type(option: str, name: str) -> Type:
    known = {kind.name.lower(): kind for kind in ENCODED}
    if name.lower() not in known:
        raise ConversionError(
            f"{option}: there is no type {name!r} of tensors. The types are: "
            f"{', '.join(kind.name for kind in ENCODED)}."
        )
    return known[name.lower()]
