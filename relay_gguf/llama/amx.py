"""Keeps llama.cpp from using AMX, which some compilers break (llama.cpp issue 20824).

llama.cpp asks Linux for AMX when it first lists its extra buffers, and does without where Linux
refuses. Linux refuses while a thread's alternative signal stack is too small for AMX's registers
(validate_sigaltstack of arch/x86/kernel/fpu/xstate.c). So a small stack is set for that moment.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .backends import extra_buffers

TOO_SMALL: Final = 4096
"""Bytes: Linux allows 2048 and more; AMX needs 8192 for its registers alone."""


class _Stack(ctypes.Structure):
    """stack_t of signal.h."""

    _fields_ = (
        ("base", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def refuse_amx() -> tuple[str, ...]:
    """Have llama.cpp list its extra buffers now, without AMX; returns their names.

    llama.cpp lists them once a process: after a model was loaded this has no effect.
    """
    with _small_signal_stack():
        return extra_buffers()


@contextmanager
def _small_signal_stack() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    memory = ctypes.create_string_buffer(TOO_SMALL)
    small, before = _Stack(ctypes.addressof(memory), 0, TOO_SMALL), _Stack()
    if sigaltstack(ctypes.byref(small), ctypes.byref(before)):
        yield  # a sandbox forbids it: the self-test will find AMX in use
        return
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
