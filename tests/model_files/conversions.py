"""Whole conversions in a test, and the same by llama.cpp's own quantizer."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import llama_cpp as lib
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from relay_gguf.convert.job import prepare
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, run
from relay_gguf.gguf_file.header import read_header

COMMAND = [sys.executable, "-m", "relay_gguf", "convert"]
JOURNAL = ".relay-gguf-convert.journal"


@dataclass(frozen=True)
class Pair:
    """A base and its adapter."""

    base: Path
    adapter: Path


def request(base: Path, *ftypes: str, adapter: Path | None = None, **options: Any) -> Request:
    """A request; small tokenizers are not in llama.cpp's table, so `pre` is given."""
    given = None if adapter is None else str(adapter)
    pre = None if base.suffix == ".gguf" else "smollm"
    return Request(base=str(base), ftypes=ftypes, adapter=given, **{"pre": pre, **options})


def converted(
    wanted: Request, out: Path, *, n_threads: int = 2, **options: Any
) -> dict[str, list[Path]]:
    """Convert to the end; type → files."""
    events = run(prepare(wanted), out, n_threads=n_threads, **options)
    return {event.ftype: list(event.paths) for event in events if isinstance(event, ConvertedFiles)}


def quantized(
    source: Path,
    out: Path,
    ftype: str,
    imatrix: Mapping[str, Any] | None = None,
    *,
    patterns: Sequence[tuple[str, GGMLQuantizationType]] = (),
    token_embedding: GGMLQuantizationType | None = None,
    output: GGMLQuantizationType | None = None,
) -> Path:
    """What llama.cpp's quantizer makes of a file."""
    path = out / f"{source.stem}-{ftype}-by-llama.cpp"
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.nthread = int(FTYPES[ftype]), 2
    values = {name: np.ascontiguousarray(v, np.float32) for name, v in (imatrix or {}).items()}
    if values:
        entries = (lib.llama_model_imatrix_data * (len(values) + 1))()
        for entry, (name, array) in zip(entries, values.items(), strict=False):
            entry.name, entry.size = name.encode(), array.size
            entry.data = array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params.imatrix = ctypes.cast(entries, ctypes.POINTER(lib.llama_model_imatrix_data))
    if patterns:
        overrides = (lib.llama_model_tensor_override * (len(patterns) + 1))()
        for override, (pattern, kind) in zip(overrides, patterns, strict=False):
            override.pattern, override.type = pattern.encode(), int(kind)
        params.tt_overrides = overrides
    if token_embedding is not None:
        params.token_embedding_type = int(token_embedding)
    if output is not None:
        params.output_tensor_type = int(output)
    assert lib.llama_model_quantize(os.fsencode(source), os.fsencode(path), params) == 0
    return path


def tensors_of(path: Path) -> dict[str, tuple[tuple[int, ...], str, bytes]]:
    """Tensors of a file: shape, type, bytes."""
    header, data = read_header(path), path.read_bytes()
    found = {}
    for info in header.tensors:
        kind = GGMLQuantizationType(info.ggml_type)
        block, size = GGML_QUANT_SIZES[kind]
        start = header.size + info.offset
        stop = start + prod(info.shape) // block * size
        found[info.name] = (info.shape, kind.name, data[start:stop])
    return found


def digests(folder: Path) -> dict[str, str]:
    """The files of a folder, those of a conversion's journal too, by the SHA-256 of each."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a conversion's journal."""
    path = folder / JOURNAL
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
