"""llama.cpp's own library, loaded once, with the libraries that it needs. All else imports it here.

llama-cpp-python's wheels for CUDA do not bring NVIDIA's libraries. Where pip has installed those
(`nvidia-cublas-cu12` and the like), no loader finds them by itself: they are loaded first.

Before that, two things that cannot be made good later. OpenMP reads its environment when it is
loaded: see `SHORT_SPIN`. And what may end this process is known from the self-test (`doctor.kept`),
which asks a child process on the first start.
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
"""Whoever sets one of these has decided."""

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


def spin_shortly(environment: MutableMapping[str, str]) -> None:
    """Set what OpenMP will read, unless the user has."""
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
            "processor, or a driver is broken. `relay-gguf doctor` says what to do."
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
            "nvidia-cublas-cu12 for CUDA 12. Else install llama-cpp-python again."
        ) from error


lib: Final = _load()
