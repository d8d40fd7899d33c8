"""llama.cpp's own library, loaded once, with the libraries that it needs. All else imports it here.

llama-cpp-python's wheels for CUDA do not bring NVIDIA's libraries. Where pip has installed those
(`nvidia-cublas-cu12` and the like), no loader finds them by itself: they are loaded first.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import ModelError

NEEDED: Final = ("cudart", "cublasLt", "cublas")
"""What ggml-cuda is linked with; cublas needs cublasLt."""


def cuda_libraries(folders: list[Path]) -> Iterator[Path]:
    """NVIDIA's libraries in the folders of its packages, each after those that it needs."""
    for name in NEEDED:
        for folder in folders:
            yield from sorted(folder.glob(f"*/lib/lib{name}.so.*"))


def nvidia_folders() -> list[Path]:
    """Where pip puts NVIDIA's packages: nvidia/cuda_runtime, nvidia/cu13 and the like."""
    spec = find_spec("nvidia")
    return [Path(path) for path in (spec and spec.submodule_search_locations) or []]


def preload(load: Callable[[str], object]) -> None:
    """Load NVIDIA's libraries, as far as there are any, so that ggml-cuda finds them loaded."""
    folders = nvidia_folders()
    if sys.platform == "win32":
        for folder in {dll.parent for path in folders for dll in path.glob("*/bin/**/*.dll")}:
            os.add_dll_directory(str(folder))
        return
    for library in cuda_libraries(folders):
        with suppress(OSError):  # of another CUDA, or broken: llama.cpp says what it lacks
            load(str(library))


def _load() -> Any:
    """The module llama_cpp.

    Raises:
        ModelError: it is not installed, or lacks a library.
    """
    if sys.platform != "darwin":
        preload(lambda name: ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL))
    try:
        return importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama-cpp-python cannot be loaded: {error}. A build for CUDA needs NVIDIA's "
            "libraries of the same version: pip install nvidia-cuda-runtime-cu12 "
            "nvidia-cublas-cu12 for CUDA 12. Else install llama-cpp-python again."
        ) from error


lib: Final = _load()
