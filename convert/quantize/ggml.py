"""ggml's encoders, and llama.cpp's look at a file, through the library of llama-cpp-python.

With `mixture` what `convert` calls of llama.cpp. ggml ends the process where it finds a wrong
argument (GGML_ASSERT), so each is checked here first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from relay_gguf.convert.read.arrays import Array, Bytes
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.gguf_file.faults import ALL, VOCABULARY
from relay_gguf.llama.first_read.first_read import deadly, model_of
from relay_gguf.llama.log import WARN, LogLines
from relay_gguf.llama.native import lib
from relay_gguf.llama.tokenizer import tokenize

from .ftypes import ALWAYS_WEIGHED, ENCODED

Type = GGMLQuantizationType


@cache
def _base() -> Any:
    """The library that has the encoders: llama.cpp's own, or ggml-base beside it."""
    found = lib.llama_cpp._lib
    if not hasattr(found, "ggml_quantize_chunk"):
        folder = Path(lib.__file__).parent / "lib"
        names = [*folder.glob("*ggml-base.so"), *folder.glob("*ggml-base.d*")]
        if not names:
            raise ConversionError(
                f"There is no ggml-base library in {folder}: reinstall llama-cpp-python."
            )
        found = ctypes.CDLL(str(names[0]))
    count, pointer = ctypes.c_int64, ctypes.c_void_p
    found.ggml_quantize_chunk.restype = ctypes.c_size_t
    found.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, *[count] * 3, pointer]
    found.ggml_validate_row_data.restype = ctypes.c_bool
    found.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    return found


def row_bytes(kind: Type, columns: int) -> int:
    """Bytes of a row of `columns` values.

    Raises:
        ConversionError: the row is not a whole number of the type's blocks.
    """
    block, size = GGML_QUANT_SIZES[kind]
    if columns % block:
        raise ConversionError(
            f"Rows of {columns} values cannot be {kind.name}, which has blocks of {block}."
        )
    return columns // block * size


def encode(kind: Type, rows: Array, weights: Array | None = None) -> Bytes:
    """Rows encoded in a type, as bytes; they do not depend on how a tensor is cut into slabs.

    Args:
        kind: a member of `ENCODED`.
        rows: (rows, columns) in float32; a vector counts as one row.
        weights: importance of each column, (columns,), from an imatrix.

    Raises:
        ConversionError: the type is not in `ENCODED`, cannot hold rows of this length or needs
            `weights`, or these have another length.
    """
    columns = rows.shape[-1]
    n_rows = rows.size // columns
    if kind not in ENCODED:
        raise ConversionError(f"relay-gguf does not write tensors as {kind.name}.")
    if weights is not None and weights.shape != (columns,):
        raise ConversionError(f"The imatrix has {weights.size} weights for rows of {columns}.")
    if weights is None and kind in ALWAYS_WEIGHED:
        raise ConversionError(f"{kind.name} needs the weights of an imatrix.")
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if kind is Type.F32:
        return rows.reshape(-1).view(np.uint8)
    out = np.empty(n_rows * row_bytes(kind, columns), dtype=np.uint8)
    if weights is not None:
        weights = np.ascontiguousarray(weights, dtype=np.float32)
    _base().ggml_quantize_chunk(
        int(kind),
        rows.ctypes.data,
        out.ctypes.data,
        0,
        n_rows,
        columns,
        None if weights is None else weights.ctypes.data,
    )
    return out


def decode(kind: Type, data: Bytes, columns: int) -> Array:
    """Encoded rows as (rows, columns) in float32; the inverse of `encode` but for its error."""
    if kind is Type.F32:
        return data.view(np.float32).reshape(-1, columns)
    if kind is Type.F16:
        return data.view(np.float16).astype(np.float32).reshape(-1, columns)
    out: NDArray[np.float32]
    if kind is Type.BF16:
        out = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return out.reshape(-1, columns)
    n_rows = data.size // row_bytes(kind, columns)
    out = np.empty((n_rows, columns), dtype=np.float32)
    decoder = getattr(_base(), f"dequantize_row_{ggml_name(kind)}")
    source, target = ctypes.c_void_p(data.ctypes.data), ctypes.c_void_p(out.ctypes.data)
    decoder(source, target, ctypes.c_int64(out.size))
    return out


def can_decode(kind: Type) -> bool:
    """Whether `decode` can read the type."""
    floats = (Type.F32, Type.F16, Type.BF16)
    return kind in floats or hasattr(_base(), f"dequantize_row_{ggml_name(kind)}")


def is_valid(kind: Type, data: Bytes) -> bool:
    """Whether llama.cpp accepts the bytes: no NaN or infinity in values or scales."""
    data = np.ascontiguousarray(data)
    return bool(_base().ggml_validate_row_data(int(kind), data.ctypes.data, data.size))


def ggml_name(kind: Type) -> str:
    """`q4_K`, `iq4_nl`, as ggml spells them."""
    name = kind.name.lower()
    return name[:-1] + "K" if name.endswith("_k") else name


def tokenizations(
    paths: Sequence[Path], texts: Sequence[str], *, tensors: bool = False
) -> list[list[int]]:
    """Token ids by llama.cpp for each text, with control tokens parsed, without BOS and EOS.

    Args:
        paths: a model's file, or its shards in order.
        texts: the texts to tokenize.
        tensors: open the whole model, as `check_opens` does, and not its vocabulary alone.

    Raises:
        ConversionError: llama.cpp cannot read the file's vocabulary, or refuses the model.
    """
    with _opened(paths, tensors=tensors) as model:
        vocab = lib.llama_model_get_vocab(model)
        return [tokenize(vocab, text, parse_special=True) for text in texts]


def check_opens(paths: Sequence[Path]) -> None:
    """Let llama.cpp open a model: its tensors, their shapes and sizes; the weights are not read.

    Args:
        paths: its file, or its shards in order.

    Raises:
        ConversionError: llama.cpp refuses it.
    """
    with _opened(paths, tensors=True):
        pass


@contextmanager
def _opened(paths: Sequence[Path], *, tensors: bool) -> Iterator[Any]:
    """A model, or its vocabulary alone, opened by llama.cpp, without the weights."""
    doing = "open" if tensors else "read the vocabulary of"
    params = lib.llama_model_default_params()
    params.vocab_only, params.no_alloc = not tensors, tensors
    params.load_mode, params.n_gpu_layers = lib.LLAMA_LOAD_MODE_NONE, 0
    try:
        why = deadly(model_of(paths), ALL if tensors else VOCABULARY)
    except ModelError as error:
        raise ConversionError(f"llama.cpp cannot {doing} {paths[0].name}: {error}") from error
    if why:
        raise ConversionError(f"llama.cpp cannot {doing} {paths[0].name}: {why}.")
    names = (ctypes.c_char_p * len(paths))(*(os.fsencode(path) for path in paths))

    def load() -> Any:
        lib.llama_backend_init()
        return lib.llama_model_load_from_splits(names, len(paths), params)

    with LogLines() as lines:
        model = aside(load)
    if not model:
        reasons = [line for level, line in lines.lines if level >= WARN]
        raise ConversionError(f"llama.cpp cannot {doing} {paths[0].name}: {' '.join(reasons)}")
    try:
        yield model
    finally:
        lib.llama_model_free(model)


def aside(call: Callable[[], Any]) -> Any:
    """Make a call of C that logs, on another thread.

    On the main thread a Ctrl-C may fall into the log's callback, from which ctypes lets no
    exception out: it would be lost, and a line of the log with it.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()
