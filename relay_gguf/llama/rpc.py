"""llama.cpp's RPC engine: devices of other machines in ggml's registry, and ours lent to others.

Both ends of a connection end the process where the other one misbehaves. Neither function belongs
into a process that has anything to lose.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from relay_gguf.errors import WorkerError
from relay_gguf.machine.devices import ram
from relay_gguf.machine.wheels import rebuild

from .backends import CPU, Device, _devices, _function, usable
from .native import lib

POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
GET_MEMORY_AT: Final = 2 * POINTER
"""Where a `ggml_backend_device` has its function that tells its memory: the third of its interface
(ggml/src/ggml-backend-impl.h)."""
KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds without a byte, then questions every 5 seconds, three of them."""
_GetMemory = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)


@dataclass(frozen=True, slots=True)
class Lent:
    """A device that is lent: ggml's handle of it, and what it is, as clients are told. Bytes."""

    handle: int
    device: Device


def available() -> bool:
    """Whether this build of llama.cpp has the RPC engine."""
    try:
        _rpc("ggml_backend_rpc_add_server", None)
    except WorkerError:
        return False
    return True


def add_server(address: str) -> None:
    """Put a worker's devices into ggml's registry, as the next of RPC0, RPC1 and so on.

    One that does not answer as it should ends this process.

    Raises:
        WorkerError: this build of llama.cpp has no RPC engine, or the worker no device.
    """
    add = _rpc("ggml_backend_rpc_add_server", ctypes.c_void_p, ctypes.c_char_p)
    register = _function("ggml_backend_register", None, ctypes.c_void_p)
    registry = add(address.encode())
    if not registry:
        raise WorkerError(f"Worker {address} has no devices. Start it again.")
    register(registry)


def notice_silence() -> None:
    """Have the system end connections to machines that are gone without a word, in half a minute.

    llama.cpp sets no time limit: a worker whose power or network fails would be waited for for
    ever. To be called when a model is loaded, whose connections stay. Windows tells no sockets.
    """
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.fd >= 0:
            with socket.socket(fileno=os.dup(connection.fd)) as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in KEEPALIVE.items():
                    if hasattr(socket, name):
                        ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def lend(names: Sequence[str], memory: int | None) -> list[Lent]:
    """Devices to serve: those that are named, else the GPUs, else the CPU.

    From now on ggml itself is told what of their memory is lent.

    Args:
        names: as `relay-gguf devices` lists them, or CPU.
        memory: bytes of each that clients may have; None is all that is free.

    Raises:
        WorkerError: there is none of a name.
    """
    lib.llama_backend_init()
    ours = {lent.device.name: lent for lent in _ours()}
    if not names:
        gpus = [d.name for d in usable() if d.name in ours]
        names = gpus or [name for name, lent in ours.items() if lent.device.kind == CPU][:1]
    for name in names:
        if name not in ours:
            raise WorkerError(
                f"There is no device {name!r} here. There are: {', '.join(ours)}. "
                "`relay-gguf devices` lists them."
            )
    return [_limited(ours[name], memory) for name in dict.fromkeys(names)]


def serve(endpoint: str, cache: Path | None, n_threads: int, lent: Sequence[Lent]) -> None:
    """Serve one client after the other. Returns only if it cannot listen there.

    Args:
        endpoint: IPv4 address and port.
        cache: folder for large tensors, by hash; None keeps none.
        n_threads: of the CPU, where that is lent.
        lent: at least one device.

    Raises:
        WorkerError: this build of llama.cpp has no RPC engine.
    """
    text, size, pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p
    run = _rpc("ggml_backend_rpc_start_server", None, text, text, size, size, pointer)
    handles = (pointer * len(lent))(*[one.handle for one in lent])
    run(endpoint.encode(), cache and os.fsencode(cache), n_threads, len(lent), handles)


def _ours() -> Iterator[Lent]:
    get = _function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    for number, device in enumerate(_devices()):
        if device.backend != "RPC":
            yield Lent(get(number), device)


_kept: list[Any] = []  # C holds pointers to these callbacks as long as the process lives


def _limited(lent: Lent, memory: int | None) -> Lent:
    """Have ggml tell another size of a device: what is left of `memory`, and of what is free.

    ggml says that all RAM is free. A server tells the memory of the very device that ggml has, not
    of one that it was given, so it is that one whose function is replaced.
    """
    told = _cpu_memory() if lent.device.kind == CPU else _gpu_memory(lent.handle)
    _, first_total, first_used = next(told)

    @_GetMemory  # type: ignore[untyped-decorator]
    def get_memory(_: Any, free_at: Any, total_at: Any) -> None:
        free, total, used = next(told)
        if memory is not None:
            free, total = min(free, max(0, memory - (used - first_used))), min(total, memory)
        free_at[0], total_at[0] = free, total

    _kept.append(get_memory)
    place = ctypes.c_void_p.from_address(lent.handle + GET_MEMORY_AT)
    place.value = ctypes.cast(get_memory, ctypes.c_void_p).value
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    get_memory(lent.handle, ctypes.pointer(free), ctypes.pointer(total))
    device = replace(lent.device, free=free.value, total=total.value or first_total)
    return replace(lent, device=device)


def _cpu_memory() -> Iterator[tuple[int, int, int]]:
    """RAM that is free, that there is, that this process uses; bytes, over and over."""
    process = psutil.Process()
    while True:
        found = ram()
        free, total = (found.available, found.total) if found else (1 << 40, 1 << 40)
        yield free, total, int(process.memory_info().rss)


def _gpu_memory(handle: int) -> Iterator[tuple[int, int, int]]:
    """The same of a GPU, as its backend tells it; what others take since then counts as ours."""
    own = _GetMemory(ctypes.c_void_p.from_address(handle + GET_MEMORY_AT).value or 0)
    while True:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        own(handle, ctypes.pointer(free), ctypes.pointer(total))
        yield free.value, total.value, total.value - free.value


def _rpc(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the RPC engine.

    Raises:
        WorkerError: this build of llama.cpp has none.
    """
    try:
        return _function(name, result, *arguments)
    except AttributeError:
        raise WorkerError(
            "This build of llama.cpp has no RPC engine, which workers need. Install one that has: "
            f"{rebuild()}"
        ) from None
