"""llama.cpp's library, loaded once, with the libraries that it needs; the only import of llama_cpp.

llama-cpp-python's wheels for CUDA do not bring NVIDIA's libraries. Where pip has installed them
(`nvidia-cublas-cu12` and the like), no loader finds them by itself: they are loaded first.

Two things come before that, because they cannot be done later. OpenMP reads its environment when it
is loaded: see `SHORT_SPIN`. And devices that would end this process are known from the self-test
(`doctor.verdict`), which runs in a child process on the first start.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from relay_gguf.doctor.verdict import verdict
from relay_gguf.errors import ModelError

SHORT_SPIN: Final = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""How long a thread waits busily at a barrier before it sleeps: GCC's OpenMP in rounds, LLVM's and
Intel's in milliseconds. A token has about 500 barriers. By default threads spin for long, and on a
machine whose cores others want too, one spins for a thread that has lost its core: decoding falls
to a tenth and less. A thousand rounds last as long as a quiet machine's threads wait for each other
(tests/benchmarks/busy.py)."""
WAIT_SETTINGS: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""OpenMP's own variables: if the user sets one, `SHORT_SPIN` is not applied."""

NEEDED: Final = ("cudart", "cublasLt", "cublas")
"""The libraries that ggml-cuda is linked with; cublas needs cublasLt."""


def cuda_libraries(folders: list[Path]) -> Iterator[Path]:
    """NVIDIA's libraries in the folders of its packages, each after the libraries that it needs."""
    for name in NEEDED:
        for folder in folders:
            yield from sorted(folder.glob(f"*/lib/lib{name}.so.*"))


def nvidia_folders() -> list[Path]:
    """The folders of NVIDIA's pip packages: nvidia/cuda_runtime, nvidia/cu13 and the like."""
    spec = find_spec("nvidia")
    return [Path(path) for path in (spec and spec.submodule_search_locations) or []]


def preload(load: Callable[[str], object], folders: list[Path] | None = None) -> None:
    """Load NVIDIA's libraries, if they are installed, so that ggml-cuda finds them loaded.

    Args:
        load: loads a library into this process.
        folders: of NVIDIA's packages; None to look for them.
    """
    folders = nvidia_folders() if folders is None else folders
    if sys.platform == "win32":
        for folder in {dll.parent for path in folders for dll in path.glob("*/bin/**/*.dll")}:
            os.add_dll_directory(str(folder))
        return
    for library in cuda_libraries(folders):
        with suppress(OSError):  # for another CUDA, or broken: llama.cpp reports what it lacks
            load(str(library))


def spin_shortly(environment: MutableMapping[str, str]) -> None:
    """Set `SHORT_SPIN`, unless the user has set one of `WAIT_SETTINGS`."""
    if not any(name in environment for name in WAIT_SETTINGS):
        environment.update(SHORT_SPIN)


def _load() -> Any:
    """The module llama_cpp.

    Raises:
        ModelError: it is not installed, lacks a library, or ends the process that loads it.
    """
    spin_shortly(os.environ)
    found = verdict()
    if found.fatal:
        raise ModelError(
            f"llama.cpp cannot be used here: {found.fatal}. It may have been built for another "
            "processor, or a driver is broken. `relay-gguf doctor` shows what to do."
        )
    os.environ.update(found.hidden)
    if sys.platform != "darwin":
        preload(lambda name: ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL))
    try:
        return importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama-cpp-python cannot be loaded: {error}. A build for CUDA needs NVIDIA's "
            "libraries of the same version: pip install nvidia-cuda-runtime-cu12 "
            "nvidia-cublas-cu12 for CUDA 12. Otherwise reinstall llama-cpp-python."
        ) from error


lib: Final = _load()
