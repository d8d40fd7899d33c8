"""The devices of llama.cpp's backends, as ggml lists them, and which of them llama.cpp uses.

llama_cpp binds none of these functions. On Linux and macOS a symbol of ggml is found through the
library of llama.cpp, whose dependency it is, and that is the very copy in use: a wheel holds each
library three times, and another copy would have another log, on stderr. Windows looks into one
library at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from relay_gguf.doctor.verdict import verdict
from relay_gguf.machine.devices import Gpu, Ram, ram
from relay_gguf.machine.drivers import GraphicsCard, apple_bandwidth, cards

from .log import log  # before the first call: backends speak while they start
from .native import lib

CPU, GPU, IGPU = 0, 1, 2  # ggml_backend_dev_type of ggml-backend.h; 3 ACCEL and 4 META follow
BACKENDS = {"MTL": "Metal"}
"""Clearer names for backends of ggml's registry; the others are CUDA, ROCm, Vulkan and so on."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as ggml describes it; sizes in bytes."""

    name: str  # CUDA0
    description: str  # NVIDIA GeForce RTX 3060
    kind: int  # CPU, GPU, IGPU
    backend: str  # its name in the registry: CUDA, MTL
    free: int = 0
    total: int = 0
    id: str = ""  # 0000:c1:00.0; empty if the backend tells none


class _Props(ctypes.Structure):
    """ggml_backend_dev_props."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("free", ctypes.c_size_t),
        ("total", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("id", ctypes.c_char_p),
        ("rest", ctypes.c_byte * 256),  # five flags, and room for what a release may add
    )


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that llama.cpp uses on this machine, in its order.

    With CUDA, asking for a card's free memory makes a context on it, as loading a model would.
    """
    return described(usable(), ram(), cards())


def usable() -> tuple[Device, ...]:
    """The devices that llama.cpp would use, without those that the self-test found broken."""
    broken = verdict().broken
    return tuple(device for device in used(devices()) if device.name not in broken)


def cpu() -> str:
    """The processor's name; empty if ggml tells none."""
    return next((device.description for device in devices() if device.kind == CPU), "")


def extra_buffers() -> tuple[str, ...]:
    """The buffer types in which llama.cpp arranges weights for this processor, the best first.

    AMX, CPU_REPACK. ggml lists them once a process, at the first call or the first model.
    """
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    registry = _function("ggml_backend_reg_by_name", pointer, text)(b"CPU")
    address = _function("ggml_backend_reg_get_proc_address", pointer, pointer, text)
    device = _function("ggml_backend_reg_dev_get", pointer, pointer, ctypes.c_size_t)(registry, 0)
    name_of = _function("ggml_backend_buft_name", text, pointer)
    found = address(registry, b"ggml_backend_dev_get_extra_bufts")
    if not found:
        return ()
    listed = ctypes.CFUNCTYPE(ctypes.POINTER(pointer), pointer)(found)(device)
    return tuple(_text(name_of(each)) for each in takewhile(bool, listed))


def build() -> str:
    """llama.cpp's line on how it was built: CPU : AVX2 = 1 | OPENMP = 1 | ..."""
    return _text(lib.llama_print_system_info())


def used(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that llama.cpp puts layers on, by the rule of its src/llama.cpp.

    RPC servers first, then cards, each once though two backends may list it. A processor's own
    graphics only if there is no card, and only those of one backend.
    """
    servers: list[Device] = []
    found: list[Device] = []
    integrated: list[Device] = []
    for device in devices:
        if device.kind == GPU and device.backend == "RPC":
            servers.append(device)
        elif device.kind == GPU:
            if not device.id or device.id not in {other.id for other in found}:
                found.append(device)
        elif device.kind == IGPU and (not integrated or device.backend == integrated[-1].backend):
            integrated.append(device)
    return (*servers, *(found or integrated))


def described(
    devices: Sequence[Device], host: Ram | None, cards: Sequence[GraphicsCard]
) -> tuple[Gpu, ...]:
    """Devices as `Gpu`s, in the same order.

    Args:
        devices: as ggml describes them.
        host: the computer's RAM. It counts as the memory of a device which reports none, as in
            llama.cpp where it splits layers (src/llama-model.cpp).
        cards: the system's graphics cards, which tell the bandwidth.
    """
    found = []
    for device in devices:
        free, total = device.free, device.total
        if not free and not total and host is not None:
            free, total = host.available, host.total
        backend = BACKENDS.get(device.backend, device.backend)
        # An Intel Mac may have a card of AMD's, to Metal a GPU like any other.
        shared = backend == "Metal" and not device.description.startswith("AMD")
        found.append(
            Gpu(
                name=device.name,
                description=device.description,
                backend=backend,
                free=free,
                total=total,
                unified=device.kind == IGPU or shared,
                bandwidth=_bandwidth(device, cards),
            )
        )
    return tuple(found)


def _bandwidth(device: Device, cards: Sequence[GraphicsCard]) -> float | None:
    """Bytes a second of the card with the same PCI address or name, or of Apple's chip."""
    if device.backend == "RPC":  # its description is an address
        return None
    same = [card for card in cards if device.id and card.pci == device.id.lower()]
    same += [card for card in cards if card.name == device.description]
    return next((card.bandwidth for card in same), None) or apple_bandwidth(device.description)


def devices() -> tuple[Device, ...]:
    """All devices in ggml's registry, CPU included; empty if the functions are missing."""
    try:
        lib.llama_backend_init()
        return tuple(_devices())
    except (AttributeError, OSError) as error:
        log.warning("ggml's list of devices cannot be read: %s", error)
        return ()


def _devices() -> Iterator[Device]:
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    count = _function("ggml_backend_dev_count", ctypes.c_size_t)
    get = _function("ggml_backend_dev_get", pointer, ctypes.c_size_t)
    props_of = _function("ggml_backend_dev_get_props", None, pointer, ctypes.POINTER(_Props))
    registry = _function("ggml_backend_dev_backend_reg", pointer, pointer)
    registry_name = _function("ggml_backend_reg_name", text, pointer)
    for number in range(count()):
        handle, props = get(number), _Props()
        props_of(handle, ctypes.byref(props))
        yield Device(
            name=_text(props.name),
            description=_text(props.description),
            kind=props.kind,
            backend=_text(registry_name(registry(handle))),
            free=props.free,
            total=props.total,
            id=_text(props.id),
        )


def device_array(names: Sequence[str]) -> ctypes.Array[ctypes.c_void_p]:
    """The handles of named devices for `llama_model_params.devices`, with NULL at the end."""
    pointer = ctypes.c_void_p
    count = _function("ggml_backend_dev_count", ctypes.c_size_t)
    get = _function("ggml_backend_dev_get", pointer, ctypes.c_size_t)
    name_of = _function("ggml_backend_dev_name", ctypes.c_char_p, pointer)
    handles = {_text(name_of(handle)): handle for handle in map(get, range(count()))}
    return (pointer * (len(names) + 1))(*[handles[name] for name in names], None)


def _text(found: bytes | None) -> str:
    return (found or b"").decode("utf-8", "replace").strip()


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of ggml, with its C types set.

    Raises:
        AttributeError: no library has it.
    """
    for library in _libraries():
        try:
            found = library[name]  # a new object, unlike an attribute: its types are ours alone
        except AttributeError:
            continue
        found.restype, found.argtypes = result, list(arguments)
        return found
    raise AttributeError(name)


def _libraries() -> Iterator[Any]:
    """llama.cpp's library, then ggml's beside it, wherever LLAMA_CPP_LIB_PATH says they are."""
    yield lib.llama_cpp._lib
    folder = Path(lib.llama_cpp._base_path)
    for name in ("ggml", "ggml-base", "ggml-rpc"):
        for file in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll", f"lib{name}.dll"):
            if (folder / file).is_file():
                yield ctypes.CDLL(str(folder / file))
