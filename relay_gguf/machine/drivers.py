"""Graphics cards of this computer, whether the installed llama.cpp can use them or not.

The system is asked: NVIDIA's driver library, the name of Apple's chip, Linux's sysfs for AMD. A
driver that is missing or answers oddly counts as no card; nothing here raises.
"""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .cgroup import text_of
from .cpu import sysctl
from .devices import ram

DRM = Path("/sys/class/drm")
CUDA_DRIVERS = {
    "linux": ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"),
    "win32": ("nvcuda.dll",),
}
"""The library of NVIDIA's driver; on WSL the loader does not always find it."""
AMD_VENDOR = "0x1002"
AMD_LEAST = 4 << 30
"""Bytes of memory of an AMD card at least; less is most likely graphics inside a processor."""

APPLE_GB_PER_S = {
    **{"M1": 68, "M1 Pro": 200, "M1 Max": 400, "M1 Ultra": 800},
    **{"M2": 100, "M2 Pro": 200, "M2 Max": 400, "M2 Ultra": 800},
    **{"M3": 100, "M3 Pro": 150, "M3 Max": 300, "M3 Ultra": 819},
    **{"M4": 120, "M4 Pro": 273, "M4 Max": 410},
    **{"M5": 153, "M5 Pro": 307, "M5 Max": 460},
}
"""Bandwidth of unified memory, from Apple's technical specifications of each Mac. Of a chip that is
sold in two forms, the slower: M3 Max with 14 CPU cores, M4 Max with 14, M5 Max with 32 GPU cores.
`sysctl machdep.cpu.brand_string` does not tell them apart."""

# CUdevice_attribute of cuda.h
_CLOCK, _BUS_WIDTH, _CAPABILITY = 36, 37, (75, 76)


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """A GPU of this computer. Bytes, and bytes a second; what is unknown is empty."""

    name: str  # NVIDIA GeForce RTX 3060
    vendor: str  # NVIDIA, Apple, AMD
    total: int
    pci: str = ""  # 0000:c1:00.0, lower case
    bandwidth: float | None = None  # the peak of its memory
    cuda: tuple[int, int] = (0, 0)  # the newest CUDA that the driver can run
    capability: tuple[int, int] = (0, 0)  # CUDA's name for the generation: 8.6


@cache
def cards() -> tuple[GraphicsCard, ...]:
    """All cards of this computer that can be worth running a model on; cached."""
    if sys.platform == "darwin":
        memory = ram()
        chip = sysctl("machdep.cpu.brand_string") if platform.machine() == "arm64" else ""
        return apple(chip, memory.total if memory else 0)
    return nvidia(cuda_driver(sys.platform)) + amd(DRM)


def cuda_driver(system: str, load: Callable[[str], Any] = ctypes.CDLL) -> Any | None:
    """NVIDIA's driver library, loaded; None if there is no such driver."""
    for name in CUDA_DRIVERS.get(system, ()):
        try:
            return load(name)
        except OSError:
            continue
    return None


def nvidia(cuda: Any | None) -> tuple[GraphicsCard, ...]:
    """The cards that NVIDIA's driver lists, in its order; CUDA_VISIBLE_DEVICES hides some.

    No context is made, which would take memory of each card.
    """
    try:
        return tuple(_nvidia(cuda)) if cuda is not None else ()
    except (AttributeError, OSError, ValueError, ctypes.ArgumentError):
        return ()


def _nvidia(cuda: Any) -> Iterator[GraphicsCard]:
    version, count = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return
    cuda.cuDriverGetVersion(ctypes.byref(version))
    for number in range(count.value):
        device, total = ctypes.c_int(), ctypes.c_size_t()
        if cuda.cuDeviceGet(ctypes.byref(device), number):
            continue
        name, pci = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
        cuda.cuDeviceGetName(name, len(name), device)
        cuda.cuDeviceGetPCIBusId(pci, len(pci), device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
        # Memory of two transfers a clock: the driver names such a clock for GDDR6X and HBM too.
        kilohertz, bits = (_attribute(cuda, which, device) for which in (_CLOCK, _BUS_WIDTH))
        major, minor = (_attribute(cuda, which, device) for which in _CAPABILITY)
        yield GraphicsCard(
            name=name.value.decode("utf-8", "replace"),
            vendor="NVIDIA",
            total=total.value,
            pci=pci.value.decode("ascii", "replace").lower(),
            bandwidth=2 * kilohertz * 1000 * bits / 8 or None,
            cuda=(version.value // 1000, version.value % 1000 // 10),
            capability=(major, minor),
        )


def _attribute(cuda: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    failed = cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return 0 if failed else value.value


def apple(chip: str, memory: int) -> tuple[GraphicsCard, ...]:
    """The GPU of an Apple chip, as a tuple of one; empty for an Intel Mac.

    Args:
        chip: its name, `Apple M3 Max`.
        memory: bytes of RAM, which the GPU uses too.
    """
    if not chip.startswith("Apple"):
        return ()
    return (GraphicsCard(chip, "Apple", memory, bandwidth=apple_bandwidth(chip)),)


def apple_bandwidth(chip: str) -> float | None:
    """Bytes a second of an Apple chip's memory; None for a chip that is not in the table."""
    found = APPLE_GB_PER_S.get(chip.removeprefix("Apple").strip())
    return None if found is None else found * 1e9


def amd(drm: Path) -> tuple[GraphicsCard, ...]:
    """AMD's cards on Linux with at least `AMD_LEAST` bytes of memory.

    Linux does not tell the width of their memory, so the bandwidth is unknown; few have a name.
    """
    found = []
    for folder in sorted(drm.glob("card*")):
        device, total = folder / "device", text_of(folder / "device" / "mem_info_vram_total")
        if not re.fullmatch(r"card\d+", folder.name) or text_of(device / "vendor") != AMD_VENDOR:
            continue
        if total.isdigit() and int(total) >= AMD_LEAST:
            name = text_of(device / "product_name") or f"AMD card of {int(total) / 2**30:.0f} GiB"
            found.append(GraphicsCard(name, "AMD", int(total), device.resolve().name.lower()))
    return tuple(found)
