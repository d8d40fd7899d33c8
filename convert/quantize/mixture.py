"""llama.cpp's choice of a type for each tensor of a file, and what a user puts in its place.

A dry run of `llama_model_quantize`, which looks at names and row lengths, not at values
(llama-quant.cpp, llama_tensor_get_type).
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.faults import faults
from relay_gguf.llama.first_read.first_read import model_of
from relay_gguf.llama.log import LogLines
from relay_gguf.llama.native import lib

from .ftypes import ENCODED, FTYPES, Type
from .ggml import aside, ggml_name
from .overrides import TypeOverrides

_TENSOR = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[[^\]]*\], type = +(\w+),")
_TARGET = re.compile(r"size = .* -> .*\((\w+)\)")
_OVERRIDDEN = re.compile(r": (\S+) +- applying manual override: ")
_WANTED: Final = (Type.Q8_0, Type.Q4_0)
"""llama.cpp tells of an override only if it is another type than the file's: one of these is."""


def planned_types(
    skeleton: Path,
    ftype: str,
    overrides: TypeOverrides | None = None,
    *,
    with_imatrix: bool = False,
) -> dict[str, Type]:
    """The type that llama.cpp gives to each tensor of a file, in the order in which it writes them.

    Args:
        skeleton: a GGUF file with the model's metadata and tensors, maybe cut to two rows each.
        ftype: a key of `FTYPES`.
        overrides: what the user wants in place of it; its embedding and output head must have rows
            of whole blocks of their types, or llama.cpp ends the process.
        with_imatrix: the file is made with an importance matrix, with which some types differ.

    Raises:
        ConversionError: llama.cpp refuses the file or a pattern.
    """
    if fault := next(faults(model_of([skeleton]), ("keys",)), None):
        raise ConversionError(f"llama.cpp cannot plan {ftype}: {fault.text}.")
    types: dict[str, Type] = {}
    name = ""
    for line in _dry_run(skeleton, ftype, overrides or TypeOverrides(), with_imatrix=with_imatrix):
        if match := _TENSOR.match(line):
            name = match[1]
            types[name] = _by_ggml_name()[match[2]]
        elif match := _TARGET.match(line):
            types[name] = _by_ggml_name()[match[1]]
    unknown = sorted({kind.name for kind in types.values() if kind not in ENCODED})
    if unknown:
        raise ConversionError(
            f"llama.cpp plans tensors as {', '.join(unknown)}, which relay-gguf cannot write."
        )
    return types


def matched(skeleton: Path, ftype: str, pattern: str, overrides: TypeOverrides) -> list[str]:
    """The names of the tensors whose type a pattern may set, as llama.cpp's matching finds them.

    Args:
        skeleton: as `planned_types` takes it.
        ftype: a key of `FTYPES` that is quantized.
        pattern: a regular expression in C++'s (ECMAScript's) grammar.
        overrides: its types of the embedding and the output head go before the pattern.

    Raises:
        ConversionError: llama.cpp refuses the file or the pattern.
    """
    found: set[str] = set()
    for kind in _WANTED:
        asked = TypeOverrides(((pattern, kind),), overrides.token_embedding, overrides.output)
        lines = _dry_run(skeleton, ftype, asked, with_imatrix=True)
        found |= {match[1] for line in lines if (match := _OVERRIDDEN.search(line))}
        if found:
            break
    return sorted(found)


def _dry_run(
    skeleton: Path, ftype: str, overrides: TypeOverrides, *, with_imatrix: bool
) -> list[str]:
    """llama.cpp's log while it plans a file."""
    params = lib.llama_model_quantize_default_params()
    params.ftype = int(FTYPES[ftype])
    params.dry_run = True
    params.allow_requantize = True
    if with_imatrix:  # that there is one counts, not what is in it
        params.imatrix = (lib.llama_model_imatrix_data * 1)()
    if overrides.token_embedding is not None:
        params.token_embedding_type = int(overrides.token_embedding)
    if overrides.output is not None:
        params.output_tensor_type = int(overrides.output)
    if overrides.patterns:
        params.tt_overrides = _patterns(overrides.patterns)
    source, target = os.fsencode(skeleton), os.fsencode(skeleton.with_suffix(".none"))
    with LogLines() as lines:
        failed = aside(lambda: lib.llama_model_quantize(source, target, ctypes.byref(params)))
    said = [line for _, line in lines.lines]
    if failed:
        reason = said[-1].rpartition("failed to quantize: ")[2] if said else "no reason given"
        if "regex" in reason or "regular expression" in reason:
            given = ", ".join(repr(pattern) for pattern, _ in overrides.patterns)
            raise ConversionError(f"--tensor-type {given} is not a regular expression: {reason}")
        raise ConversionError(f"llama.cpp cannot plan {ftype}: {reason}")
    return said


def _patterns(patterns: Sequence[tuple[str, Type]]) -> Any:
    """llama.cpp's array of (pattern, type), ended by an empty entry."""
    entries = (lib.llama_model_tensor_override * (len(patterns) + 1))()
    for entry, (pattern, kind) in zip(entries, patterns, strict=False):
        entry.pattern, entry.type = pattern.encode(), int(kind)
    return entries


@cache
def _by_ggml_name() -> Mapping[str, Type]:
    return {ggml_name(kind): kind for kind in Type}
