"""llama.cpp's RPC backend: other machines' devices in ggml's registry, our devices lent to them.

Either end of a connection ends its process if the other end misbehaves. So neither end belongs in a
process that has anything to lose.
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
"""The offset of the function in a `ggml_backend_device` that tells its memory, the third of its
interface (ggml/src/ggml-backend-impl.h)."""
KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""TCP keepalive: after 15 silent seconds three probes, one every 5 seconds."""
_GetMemory = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)


@dataclass(frozen=True, slots=True)
class Lent:
    """A lent device: ggml's handle, and the device as clients see it."""

    handle: int
    device: Device


def available() -> bool:
    """Whether this build of llama.cpp has the RPC backend."""
    try:
        _rpc("ggml_backend_rpc_add_server", None)
    except WorkerError:
        return False
    return True


def add_server(address: str) -> None:
    """Put a worker's devices into ggml's registry, as the next of RPC0, RPC1 and so on.

    A worker that does not answer as it should ends this process.

    Raises:
        WorkerError: this build of llama.cpp has no RPC backend, or the worker no device.
    """
    add = _rpc("ggml_backend_rpc_add_server", ctypes.c_void_p, ctypes.c_char_p)
    register = _function("ggml_backend_register", None, ctypes.c_void_p)
    registry = add(address.encode())
    if not registry:
        raise WorkerError(f"Worker {address} has no devices. Restart it.")
    register(registry)


def notice_silence() -> None:
    """Turn on TCP keepalive, so that connections to vanished machines end within half a minute.

    llama.cpp sets no timeout: it would wait for ever for a worker that lost power or network. To
    be called once a model is loaded, when its connections stay. Windows does not list sockets.
    """
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.fd >= 0:
            with socket.socket(fileno=os.dup(connection.fd)) as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in KEEPALIVE.items():
                    if hasattr(socket, name):
                        ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def lend(names: Sequence[str], memory: int | None) -> list[Lent]:
    """The devices to serve: those named, else the GPUs, else the CPU.

    From now on ggml reports only the lent part of their memory.

    Args:
        names: as `relay-gguf devices` lists them, or CPU.
        memory: bytes of each device for clients; None for all that is free.

    Raises:
        WorkerError: there is no device of a name.
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
    """Serve one client after the other. Returns only if it cannot listen on the endpoint.

    Args:
        endpoint: IPv4 address and port.
        cache: folder for large tensors, by hash; None to keep none.
        n_threads: threads of the CPU, if that is lent.
        lent: at least one device.

    Raises:
        WorkerError: this build of llama.cpp has no RPC backend.
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
    """Have ggml report less memory of a device: what is left of `memory`, and of what is free.

    ggml reports all RAM as free. A server asks the device in ggml's own registry, not the one that
    it was given, so the function of that device is replaced.
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
    """(free RAM, total RAM, RAM of this process) in bytes, read anew for each item."""
    process = psutil.Process()
    while True:
        found = ram()
        free, total = (found.available, found.total) if found else (1 << 40, 1 << 40)
        yield free, total, int(process.memory_info().rss)


def _gpu_memory(handle: int) -> Iterator[tuple[int, int, int]]:
    """The same of a GPU, as its backend tells it; memory of other programs counts as ours."""
    own = _GetMemory(ctypes.c_void_p.from_address(handle + GET_MEMORY_AT).value or 0)
    while True:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        own(handle, ctypes.pointer(free), ctypes.pointer(total))
        yield free.value, total.value, total.value - free.value


def _rpc(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the RPC backend.

    Raises:
        WorkerError: this build of llama.cpp has no RPC backend.
    """
    try:
        return _function(name, result, *arguments)
    except AttributeError:
        raise WorkerError(
            "This build of llama.cpp has no RPC backend, which workers need. To compile one: "
            f"{rebuild()}"
        ) from None
