"""Which of llama-cpp-python's wheels can use a card, and the command that installs it.

PyPI has the sources only. The project's own wheels are in one index for each kind of GPU, and none
brings the vendor's libraries: CUDA's need libcudart and libcublas of their own major version, on
the loader's path or as NVIDIA's packages (`llama/native.py`), Vulkan's the loader that a desktop
has, rocm72 an installed ROCm 7.2. Metal is a part of macOS. What is in the indexes is said by
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
"""Releases of CUDA that there are wheels of, the newest first, all for x86-64."""
NOT_ON_WINDOWS = frozenset({(12, 1), (12, 2), (12, 3)})
CAPABILITY = {11: ((6, 0), (8, 9)), 12: ((6, 0), (99, 0)), 13: ((7, 5), (99, 0))}
"""Of a card, from and to, for the wheels of a major version. Those of 12 and 13 have code that the
driver compiles for newer cards."""
RUNTIME = {
    "linux": {11: "libcudart.so.11.0", 12: "libcudart.so.12", 13: "libcudart.so.13"},
    "win32": {11: "cudart64_110.dll", 12: "cudart64_12.dll", 13: "cudart64_13.dll"},
}

RECIPE = Path(__file__).parents[1] / "llama" / "build.cmake"
"""How llama.cpp is compiled for us; scikit-build-core hands it to CMake."""


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """Where the wheel would go."""

    system: str  # sys.platform
    machine: str  # x86_64, AMD64, arm64
    python: str  # sys.executable
    version: str  # of llama-cpp-python, as relay-gguf needs it
    pip: bool = True  # this Python has it; one that uv made has not
    cmd: bool = False  # Windows' old shell, not PowerShell
    rocm: str = ""  # the version that is installed
    runtimes: frozenset[int] = frozenset()  # major versions of CUDA whose libraries are found
    recipe: PurePath = RECIPE


def advice(
    cards: Sequence[GraphicsCard], gpus: Sequence[Gpu], target: PythonEnvironment | None = None
) -> str:
    """How to get a llama.cpp that uses the best card which this one does not; empty if none.

    One line, with the card's name and the command; a second one where CUDA's libraries are missing.
    No advice where llama.cpp uses a card with as much memory already: a build has one kind of GPU.

    Args:
        cards: of this computer.
        gpus: that this build of llama.cpp uses.
        target: where to install; None is here.
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
    """Whether llama.cpp has the card in its list, with any of its backends."""
    own = {"NVIDIA": "CUDA", "Apple": "Metal", "AMD": "ROCm"}[card.vendor]
    return any(
        gpu.backend == own
        or card.name in gpu.description
        # Vulkan has marketing names, `AMD Radeon RX 7900 XTX (RADV NAVI31)`; Linux has few
        or (card.vendor == "AMD" and gpu.description.startswith("AMD"))
        for gpu in gpus
    )


def index(card: GraphicsCard, target: PythonEnvironment) -> str | None:
    """The index whose wheels can use a card; None where its wheels are for other processors."""
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
    """With the one index alone: beside PyPI, pip may take what PyPI has."""
    wheel = ["--no-deps", "--only-binary", ":all:", _pinned(target), "--index-url", INDEX + name]
    if target.pip:
        return _quoted(target, [target.python, "-m", "pip", "install", "--force-reinstall", *wheel])
    return _quoted(
        target, ["uv", "pip", "install", "--python", target.python, "--reinstall", *wheel]
    )


def rebuild(*flags: str, target: PythonEnvironment | None = None) -> str:
    """The command that compiles a llama.cpp which works here: with AMX, if the CPU has it, and RPC.

    It takes a C++ compiler. pip's cache and the indexes of wheels know no flags, so both are out.

    Args:
        flags: more for CMake: `-DGGML_CUDA=ON`.
        target: where to install; None is here.
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
    """As `shlex.join`, but with quotes that go well within single ones."""
    quoted = ('"' + re.sub(r'(["\\])', r"\\\1", word) + '"' for word in words)
    return " ".join(
        word if shlex.quote(word) == word else text
        for word, text in zip(words, quoted, strict=True)
    )


def _pinned(target: PythonEnvironment) -> str:
    return f"llama-cpp-python=={target.version}" if target.version else "llama-cpp-python"


def _quoted(target: PythonEnvironment, words: Sequence[str]) -> str:
    """A command as the platform's shell takes it."""
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
    """Here."""
    return PythonEnvironment(
        sys.platform,
        platform.machine(),
        sys.executable,
        installed_version("llama-cpp-python"),
        util.find_spec("pip") is not None,
        "PROMPT" in os.environ,  # which cmd sets and PowerShell does not
        text_of(ROCM_VERSION),
        frozenset(m for m, name in RUNTIME.get(sys.platform, {}).items() if _loads(name)),
    )


def _loads(name: str, load: Callable[[str], object] = ctypes.CDLL) -> bool:
    """Whether the loader finds a library where llama_cpp would; on Windows it adds CUDA_PATH."""
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
