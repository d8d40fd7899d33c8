"""The wheel of llama-cpp-python that can use a card, and the command that installs it.

PyPI has only the sources. The project's own wheels are in one index for each kind of GPU, and no
wheel brings the vendor's libraries: CUDA's need libcudart and libcublas of their own major version,
on the loader's path or as NVIDIA's packages (`llama/native.py`), Vulkan's the loader that a desktop
has, rocm72 an installed ROCm 7.2. Metal is a part of macOS. The indexes are filled by
`.github/workflows/build-wheels-*.yaml` of llama-cpp-python.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path, PurePath

from relay_gguf.version import installed_version

from .cgroup import text_of
from .devices import Gpu
from .drivers import GraphicsCard

INDEX = "https://abetlen.github.io/llama-cpp-python/whl/"
ROCM_VERSION = Path("/opt/rocm/.info/version")

CUDA = ((13, 2), (13, 0), (12, 5), (12, 4), (12, 3), (12, 2), (12, 1), (11, 8))
"""Releases of CUDA with wheels, the newest first, all for x86-64."""
NOT_ON_WINDOWS = frozenset({(12, 1), (12, 2), (12, 3)})
CAPABILITY = {11: ((6, 0), (8, 9)), 12: ((6, 0), (99, 0)), 13: ((7, 5), (99, 0))}
"""Compute capabilities, from and to, for the wheels of a major version of CUDA. Wheels of 12 and 13
have code that the driver compiles for newer cards."""
RUNTIME = {
    "linux": {11: "libcudart.so.11.0", 12: "libcudart.so.12", 13: "libcudart.so.13"},
    "win32": {11: "cudart64_110.dll", 12: "cudart64_12.dll", 13: "cudart64_13.dll"},
}

RECIPE = Path(__file__).parents[1] / "llama" / "build.cmake"
"""CMake code that compiles llama.cpp for this program; scikit-build-core hands it to CMake."""


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """A Python environment that a wheel could be installed into."""

    system: str  # sys.platform
    machine: str  # x86_64, AMD64, arm64
    python: str  # sys.executable
    version: str  # of llama-cpp-python, as relay-gguf needs it
    pip: bool = True  # whether pip is installed; uv makes environments without it
    cmd: bool = False  # whether the shell is cmd.exe, not PowerShell
    rocm: str = ""  # the installed version
    runtimes: frozenset[int] = (
        frozenset()
    )  # major versions of CUDA whose libraries the loader finds
    recipe: PurePath = RECIPE


def advice(
    cards: Sequence[GraphicsCard], gpus: Sequence[Gpu], target: PythonEnvironment | None = None
) -> str:
    """How to install a llama.cpp that uses the best card which this build does not use; or empty.

    A line with the card's name and the command, and a second line if CUDA's libraries are missing.
    Empty if llama.cpp uses a card with as much memory already: a build has one kind of GPU.

    Args:
        cards: all graphics cards of this computer.
        gpus: the GPUs that this build of llama.cpp uses.
        target: the environment to install into; None for this one.
    """
    unused = [card for card in cards if not _uses(gpus, card)]
    if not unused:
        return ""
    card = max(unused, key=lambda card: card.total)
    if any(not gpu.unified and gpu.total >= card.total for gpu in gpus):
        return ""
    target = target or this_environment()
    name = index(card, target)
    if name is None:
        return (
            f"This build of llama.cpp does not use {card.name}, and there is no other for "
            f"{target.machine}. Compile one: {rebuild('-DGGML_CUDA=ON', target=target)}"
        )
    line = f"This build of llama.cpp does not use {card.name}. One that does: "
    line += _installing(target, name)
    major = int(name[2:4]) if name.startswith("cu") else 0
    if major and major not in target.runtimes:
        end = f"-cu{major}" if major < 13 else ""
        line += (
            f"\nIt needs NVIDIA's libraries of CUDA {major}, which are not found here: install "
            f"nvidia-cuda-runtime{end} and nvidia-cublas{end} too."
        )
    return line


def _uses(gpus: Sequence[Gpu], card: GraphicsCard) -> bool:
    """Whether llama.cpp lists the card, with any of its backends."""
    own = {"NVIDIA": "CUDA", "Apple": "Metal", "AMD": "ROCm"}[card.vendor]
    return any(
        gpu.backend == own
        or card.name in gpu.description
        # Vulkan has marketing names, `AMD Radeon RX 7900 XTX (RADV NAVI31)`; Linux has few
        or (card.vendor == "AMD" and gpu.description.startswith("AMD"))
        for gpu in gpus
    )


def index(card: GraphicsCard, target: PythonEnvironment) -> str | None:
    """The name of the index whose wheels can use a card; None if none is for this processor."""
    if card.vendor == "Apple":
        return "metal"
    if target.machine.lower() not in ("x86_64", "amd64") or target.system not in RUNTIME:
        return None
    if card.vendor == "AMD":
        return "rocm72" if target.rocm.startswith("7.2") else "vulkan"
    usable = [
        release
        for release in CUDA
        if release <= card.cuda
        and CAPABILITY[release[0]][0] <= card.capability <= CAPABILITY[release[0]][1]
        and not (target.system == "win32" and release in NOT_ON_WINDOWS)
    ]
    if not usable:  # an old driver or card: its Vulkan is as old, and enough
        return "vulkan"
    best = next((release for release in usable if release[0] in target.runtimes), usable[0])
    return f"cu{best[0]}{best[1]}"


def _installing(target: PythonEnvironment, name: str) -> str:
    """The command that installs from one index alone: beside PyPI, pip may take PyPI's sources."""
    wheel = ["--no-deps", "--only-binary", ":all:", _pinned(target), "--index-url", INDEX + name]
    if target.pip:
        return _quoted(target, [target.python, "-m", "pip", "install", "--force-reinstall", *wheel])
    return _quoted(
        target, ["uv", "pip", "install", "--python", target.python, "--reinstall", *wheel]
    )


def rebuild(*flags: str, target: PythonEnvironment | None = None) -> str:
    """The command that compiles llama.cpp for this machine, with RPC, and AMX if the CPU has it.

    It needs a C++ compiler. It uses neither pip's cache nor wheels, which know no flags.

    Args:
        flags: further flags for CMake, `-DGGML_CUDA=ON`.
        target: the environment to install into; None for this one.
    """
    target = target or this_environment()
    source = ["--no-deps", "--no-binary", "llama-cpp-python", _pinned(target)]
    if target.pip:
        command = [target.python, "-m", "pip", "install", "--force-reinstall", "--no-cache-dir"]
    else:
        command = ["uv", "pip", "install", "--python", target.python, "--reinstall", "--no-cache"]
    line = _quoted(target, [*command, *source])
    # With slashes on Windows too: it is split as a shell of Unix would, and read by CMake.
    recipe = f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={target.recipe.as_posix()}"
    if target.system == "win32" and target.cmd:
        return f'set "CMAKE_ARGS={shlex.join([recipe, *flags])}" && {line}'
    value = _doubly_quoted(recipe, *flags)
    if target.system == "win32":
        value = value.replace("'", "''")
        return f"$env:CMAKE_ARGS='{value}'; {line}"
    return f"CMAKE_ARGS={shlex.quote(value)} {line}"


def _doubly_quoted(*words: str) -> str:
    """Like `shlex.join`, but with double quotes, which can stand within single quotes."""
    quoted = ('"' + re.sub(r'(["\\])', r"\\\1", word) + '"' for word in words)
    return " ".join(
        word if shlex.quote(word) == word else text
        for word, text in zip(words, quoted, strict=True)
    )


def _pinned(target: PythonEnvironment) -> str:
    return f"llama-cpp-python=={target.version}" if target.version else "llama-cpp-python"


def _quoted(target: PythonEnvironment, words: Sequence[str]) -> str:
    """A command line, quoted for the target's shell."""
    if target.system != "win32":
        return shlex.join(words)
    if target.cmd:
        return subprocess.list2cmdline(words)
    quoted = [
        word if re.fullmatch(r"[\w.:/\\=-]+", word) else "'" + word.replace("'", "''") + "'"
        for word in words
    ]
    # A quoted word at the beginning is a text to PowerShell; & runs it.
    return ("& " if quoted[0].startswith("'") else "") + " ".join(quoted)


def this_environment() -> PythonEnvironment:
    """The environment of this process."""
    return PythonEnvironment(
        system=sys.platform,
        machine=platform.machine(),
        python=sys.executable,
        version=installed_version("llama-cpp-python"),
        pip=util.find_spec("pip") is not None,
        cmd="PROMPT" in os.environ,  # which cmd sets and PowerShell does not
        rocm=text_of(ROCM_VERSION),
        runtimes=frozenset(m for m, name in RUNTIME.get(sys.platform, {}).items() if _loads(name)),
    )


def _loads(name: str, load: Callable[[str], object] = ctypes.CDLL) -> bool:
    """Whether the loader finds a library as llama_cpp would: on Windows in CUDA_PATH, too."""
    if sys.platform == "win32":
        folders = [*os.environ.get("PATH", "").split(os.pathsep)]
        if toolkit := os.environ.get("CUDA_PATH"):
            folders += [f"{toolkit}/bin", f"{toolkit}/lib"]
        return any(Path(folder, name).is_file() for folder in folders if folder)
    try:
        load(name)
    except OSError:
        return False
    return True
