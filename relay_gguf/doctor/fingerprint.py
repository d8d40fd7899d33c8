"""The key of a verdict: a hash of libraries, processor, drivers and settings."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from relay_gguf.machine.cpu import cpuinfo

VERSION: Final = 1
"""The version of the self-test: after a change all machines are tested again."""
DRIVERS: Final = (
    "/proc/driver/nvidia/version",
    "/sys/module/amdgpu/version",
    "/dev/kfd",
    "/dev/nvidia0",
    "/dev/dri",
    "/etc/vulkan/icd.d",
    "/usr/share/vulkan/icd.d",
)
WINDOWS_DRIVERS: Final = ("nvcuda.dll", "vulkan-1.dll", "amdhip64.dll")
SETTINGS: Final = ("GGML_", "VK_", "CUDA_", "HIP_", "ROCR_", "HSA_", "LD_", "DYLD_", "METAL_")
"""Prefixes of environment variables that change the list of devices, or their behaviour."""
HARMLESS: Final = ("CUDA_PATH", "GGML_NO_BACKTRACE")
"""Variables that do not count. `relay_gguf.child` sets the second in child processes, which look up
the same verdict."""


def fingerprint(drivers: Sequence[str] = DRIVERS) -> str:
    """The SHA-256, hexadecimal; takes a millisecond or two, and loads no library.

    Args:
        drivers: files and folders that tell which drivers there are.
    """
    digest = sha256()
    for part in _parts(drivers):
        digest.update(part.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()


def libraries_folder() -> Path | None:
    """The folder of llama.cpp's libraries; None if llama-cpp-python is not installed."""
    if given := os.environ.get("LLAMA_CPP_LIB_PATH"):
        return Path(given)
    with suppress(ImportError, ValueError):
        if (spec := find_spec("llama_cpp")) and spec.origin:
            return Path(spec.origin).parent / "lib"
    return None


def _parts(drivers: Sequence[str]) -> Iterator[str]:
    yield f"{VERSION} {sys.version} {platform.node()} {platform.platform()}"
    yield from _processor()
    folder = libraries_folder()
    if folder is not None:
        yield str(folder)
        yield from _files(folder)
        yield from _files(folder.parent, "__init__.py")
    for name in drivers:
        yield _driver(Path(name))
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32")
        for name in WINDOWS_DRIVERS:
            yield from _files(system, name)
    yield from settings(os.environ)


def _processor() -> Iterator[str]:
    yield f"{platform.machine()} {os.environ.get('PROCESSOR_IDENTIFIER', '')}"
    names = ("model name", "flags", "Features", "CPU part")
    yield from (line for line in cpuinfo() if line.startswith(names))


def _files(folder: Path, pattern: str = "*") -> Iterator[str]:
    """Name, size and time of each file; their contents are not read."""
    with suppress(OSError):
        for path in sorted(folder.glob(pattern)):
            found = path.stat()
            yield f"{path.name} {found.st_size} {found.st_mtime_ns}"


def _driver(path: Path) -> str:
    """A driver's version, or the names of its files."""
    with suppress(OSError):
        if path.is_dir():
            return f"{path}: {' '.join(sorted(entry.name for entry in path.iterdir()))}"
        if path.is_file():
            return path.read_text("utf-8", "replace")
        return f"{path}: {path.exists()}"
    return ""


def settings(environment: Mapping[str, str]) -> Iterator[str]:
    """The environment variables that count, as NAME=value, sorted."""
    for name in sorted(environment):
        if name.startswith(SETTINGS) and name not in HARMLESS:
            yield f"{name}={environment[name]}"
