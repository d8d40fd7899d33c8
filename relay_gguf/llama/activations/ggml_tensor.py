"""A tensor of llama.cpp's graph, read where it lies (struct ggml_tensor of ggml.h)."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from relay_gguf.errors import EngineError
from relay_gguf.llama.backends import _function
from relay_gguf.llama.native import lib

if TYPE_CHECKING:
    from numpy.typing import NDArray

F32, I32 = 0, 26  # ggml_type of ggml.h
N_SOURCES: Final = 10
OBJECT: Final = 32
"""Bytes that ggml counts beside each tensor (struct ggml_object)."""


class GgmlTensor(ctypes.Structure):
    """struct ggml_tensor; `shape` and `strides` begin with the innermost dimension."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("shape", ctypes.c_int64 * 4),
        ("strides", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("sources", ctypes.c_void_p * N_SOURCES),
        ("view_source", ctypes.c_void_p),
        ("view_offset", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )

    def source(self, index: int) -> GgmlTensor:
        """The tensor that the operation takes as its argument of this number."""
        return tensor_at(self.sources[index])

    @property
    def weight(self) -> str:
        """Its name without what a backend puts around it: `blk.0.attn_k.weight`.

        The scheduler calls the copy of a weight on a device `CUDA0#blk.0.attn_k.weight#0`.
        """
        name = bytes(self.name).decode("utf-8", "replace")
        return name.split("#")[1] if "#" in name else name


def tensor_at(address: int) -> GgmlTensor:
    """The tensor at an address."""
    return GgmlTensor.from_address(address)


def check_layout() -> None:
    """Refuse a llama.cpp whose tensors are laid out in another way.

    Raises:
        EngineError: this one's are.
    """
    found = _function("ggml_tensor_overhead", ctypes.c_size_t)() - OBJECT
    if found != ctypes.sizeof(GgmlTensor):
        raise EngineError(
            "This release of llama-cpp-python lays out its tensors in another way, so that what "
            "goes through a model cannot be read: take the release that relay-gguf asks for, or "
            "make the importance matrix with llama.cpp's llama-imatrix."
        )


@cache
def operations() -> tuple[int, int]:
    """ggml's numbers of a matrix product, and of one that chooses among matrices by ids.

    Raises:
        EngineError: it has none of these names.
    """
    name_of = _function("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
    numbers = {name_of(number): number for number in range(60)}
    try:
        return numbers[b"MUL_MAT"], numbers[b"MUL_MAT_ID"]
    except KeyError as error:
        raise EngineError(f"llama.cpp has no operation {error}.") from error


def values(tensor: GgmlTensor) -> NDArray[Any]:
    """A tensor's values in float32 or int32, the outermost dimension first.

    They lie in llama.cpp's memory, and may change as soon as it goes on.

    Raises:
        EngineError: it has values of another type.
    """
    if tensor.type not in (F32, I32):
        raise EngineError(f"{tensor.weight} has values of ggml's type {tensor.type}.")
    shape = tuple(tensor.shape)[::-1]
    strides = tuple(tensor.strides)[::-1]
    extent = 4 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if _is_host(tensor.buffer):
        raw = np.frombuffer((ctypes.c_uint8 * extent).from_address(tensor.data), np.uint8)
    else:
        raw = np.empty(extent, np.uint8)
        _get()(ctypes.addressof(tensor), raw.ctypes.data, 0, extent)
    kind = np.float32 if tensor.type == F32 else np.int32
    return np.ndarray(shape, kind, raw, strides=strides)


def _is_host(buffer: int) -> bool:
    return bool(_is_host_function()(buffer))


@cache
def _is_host_function() -> Any:
    return _function("ggml_backend_buffer_is_host", ctypes.c_bool, ctypes.c_void_p)


@cache
def _get() -> Any:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    return _function("ggml_backend_tensor_get", None, pointer, pointer, size, size)


CALLBACK: Final = lib.ggml_backend_sched_eval_callback
"""The type of a function that llama.cpp calls before and after each operation."""
