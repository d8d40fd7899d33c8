"""Cards that the system has: told by made-up drivers and made-up files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.machine import drivers
from relay_gguf.machine.drivers import GraphicsCard

GIB = 1 << 30


class Driver:
    """A made-up libcuda, which has nothing that makes a context."""

    def __init__(self, *names: str, version: int = 12040, broken: str = "") -> None:
        self.names, self.version, self.broken = names, version, broken

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu") or "Ctx" in name or name == self.broken:
            raise AttributeError(name)
        return lambda *arguments: self.call(name, *arguments)

    def call(self, name: str, *arguments: Any) -> int:
        out = getattr(arguments[0], "_obj", arguments[0])
        if name == "cuInit":
            return 0 if self.names else 100
        if name == "cuDeviceGetName":
            out.value = self.names[arguments[2].value].encode()
        elif name == "cuDeviceGetPCIBusId":
            out.value = f"0000:C{arguments[2].value}:00.0".encode()
        elif name == "cuDeviceGetAttribute":
            out.value = {36: 7_501_000, 37: 192, 75: 8, 76: 6}[arguments[1]]
        else:
            out.value = {
                "cuDeviceGetCount": len(self.names),
                "cuDriverGetVersion": self.version,
                "cuDeviceTotalMem_v2": 12 * GIB,
                "cuDeviceGet": arguments[-1],
            }[name]
        return 0


def test_nvidia_cards_are_asked_of_the_driver() -> None:
    first, second = drivers.nvidia(Driver("NVIDIA GeForce RTX 3060", "NVIDIA RTX A2000"))
    assert first == GraphicsCard(
        "NVIDIA GeForce RTX 3060",
        "NVIDIA",
        12 * GIB,
        "0000:c0:00.0",
        360.048e9,
        cuda=(12, 4),
        capability=(8, 6),
    )
    assert (second.name, second.pci) == ("NVIDIA RTX A2000", "0000:c1:00.0")


@pytest.mark.parametrize(
    "driver",
    [None, Driver(), object(), *(Driver("X", broken=f"cu{n}") for n in ("Init", "DeviceGetName"))],
)
def test_no_nvidia_cards(driver: Any) -> None:
    assert drivers.nvidia(driver) == ()


def test_where_nvidias_driver_is() -> None:
    asked = []

    def load(name: str) -> str:
        asked.append(name)
        if "wsl" not in name:
            raise OSError(name)
        return "driver"

    assert drivers.cuda_driver("linux", load) == "driver"
    assert asked == ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
    assert drivers.cuda_driver("win32", load) is None
    assert drivers.cuda_driver("darwin", load) is None


@pytest.mark.parametrize(
    ("chip", "bandwidth"),
    [
        ("Apple M1", 68e9),
        ("Apple M4 Max", 410e9),
        ("Apple M2 Ultra", 800e9),
        ("Apple M99", None),
        ("AMD EPYC", None),
    ],
)
def test_apple_chips_have_a_bandwidth(chip: str, bandwidth: float | None) -> None:
    assert drivers.apple_bandwidth(chip) == bandwidth
    found = drivers.apple(chip, 16 * GIB)
    assert bool(found) == chip.startswith("Apple")
    assert all(card == GraphicsCard(chip, "Apple", 16 * GIB, "", bandwidth) for card in found)


def test_amd_cards_are_found_in_sysfs(tmp_path: Path) -> None:
    def card(number: int, vendor: str, gib: float, name: str = "") -> None:
        device = tmp_path / "devices" / f"0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "mem_info_vram_total").write_text(f"{int(gib * GIB)}\n")
        if name:
            (device / "product_name").write_text(name + "\n")
        (tmp_path / "drm" / f"card{number}").mkdir(parents=True)
        (tmp_path / "drm" / f"card{number}" / "device").symlink_to(device)

    card(0, "0x1002", 24)
    card(1, "0x1002", 0.5)  # a processor's own graphics
    card(2, "0x8086", 8)
    card(3, "0x1002", 64, "AMD Instinct MI210")
    (tmp_path / "drm" / "card0-DP-1").mkdir()
    assert drivers.amd(tmp_path / "drm") == (
        GraphicsCard("AMD card of 24 GiB", "AMD", 24 * GIB, "0000:00:00.0"),
        GraphicsCard("AMD Instinct MI210", "AMD", 64 * GIB, "0000:03:00.0"),
    )
    assert drivers.amd(tmp_path / "none") == ()
