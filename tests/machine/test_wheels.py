"""The llama.cpp to install for a card, and the command that does it, in any shell."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from relay_gguf.machine import wheels
from relay_gguf.machine.devices import Gpu
from relay_gguf.machine.drivers import GraphicsCard
from relay_gguf.machine.wheels import PythonEnvironment, advice, index, rebuild

GIB = 1 << 30
RTX = GraphicsCard("NVIDIA GeForce RTX 3060", "NVIDIA", 12 * GIB, cuda=(12, 4), capability=(8, 6))
M3 = GraphicsCard("Apple M3", "Apple", 16 * GIB)
RADEON = GraphicsCard("AMD card of 24 GiB", "AMD", 24 * GIB)
LINUX = PythonEnvironment(
    "linux",
    "x86_64",
    "/opt/v/bin/python",
    "0.3.36",
    runtimes=frozenset({11, 12, 13}),
    recipe=PurePosixPath("/opt/build.cmake"),
)
MAC = PythonEnvironment("darwin", "arm64", "/opt/v/bin/python", "0.3.36")
WINDOWS = PythonEnvironment(
    "win32",
    "AMD64",
    r"C:\v\python.exe",
    "0.3.36",
    runtimes=frozenset({11, 12, 13}),
    recipe=PureWindowsPath(r"C:\it's my\build.cmake"),
)


def nvidia(cuda: tuple[int, int], capability: tuple[int, int] = (8, 6)) -> GraphicsCard:
    return GraphicsCard("NVIDIA X", "NVIDIA", 12 * GIB, cuda=cuda, capability=capability)


def changed(base: PythonEnvironment, **changed: Any) -> PythonEnvironment:
    return replace(base, **changed)


@pytest.mark.parametrize(
    ("card", "where", "expected"),
    [
        (nvidia((11, 8)), LINUX, "cu118"),
        (nvidia((12, 0)), LINUX, "cu118"),
        (nvidia((12, 3)), LINUX, "cu123"),
        (nvidia((12, 3)), WINDOWS, "cu118"),
        (nvidia((12, 9)), LINUX, "cu125"),
        (nvidia((12, 9)), WINDOWS, "cu125"),
        (nvidia((13, 1)), LINUX, "cu130"),
        (nvidia((13, 5)), WINDOWS, "cu132"),
        (nvidia((13, 0), (6, 1)), LINUX, "cu125"),  # Pascal: CUDA 13 has no code for it
        (nvidia((13, 0), (5, 2)), LINUX, "vulkan"),
        (nvidia((11, 8), (9, 0)), LINUX, "vulkan"),  # Hopper: CUDA 11 has none
        (nvidia((11, 4)), LINUX, "vulkan"),
        (nvidia((13, 2)), changed(LINUX, runtimes=frozenset({12})), "cu125"),
        (nvidia((13, 2)), changed(LINUX, runtimes=frozenset()), "cu132"),
        (nvidia((13, 0)), changed(LINUX, machine="aarch64"), None),
        (M3, MAC, "metal"),
        (RADEON, LINUX, "vulkan"),
        (RADEON, changed(LINUX, rocm="7.2.1"), "rocm72"),
        (RADEON, changed(LINUX, rocm="6.4.0"), "vulkan"),
    ],
)
def test_the_index_of_wheels(
    card: GraphicsCard, where: PythonEnvironment, expected: str | None
) -> None:
    assert index(card, where) == expected


def test_advice_is_one_line_with_the_card_and_the_command() -> None:
    assert advice([RTX], [], LINUX) == (
        "This build of llama.cpp does not use NVIDIA GeForce RTX 3060. One that does: "
        "/opt/v/bin/python -m pip install --force-reinstall --no-deps --only-binary :all: "
        "llama-cpp-python==0.3.36 --index-url https://abetlen.github.io/llama-cpp-python/whl/cu124"
    )
    bare = advice([RTX], [], changed(LINUX, runtimes=frozenset()))
    assert bare == (
        advice([RTX], [], LINUX)
        + "\nIt needs NVIDIA's libraries of CUDA 12, which are not found here: install "
        "nvidia-cuda-runtime-cu12 and nvidia-cublas-cu12 too."
    )
    assert advice([M3], [], MAC).endswith("/whl/metal")


@pytest.mark.parametrize(
    ("where", "begins"),
    [
        (changed(LINUX, python="/my v/python"), "'/my v/python' -m pip install "),
        (changed(WINDOWS, python=r"C:\my v\python.exe"), r"& 'C:\my v\python.exe' -m pip install "),
        (
            changed(WINDOWS, python=r"C:\my v\python.exe", cmd=True),
            r'"C:\my v\python.exe" -m pip install ',
        ),
        (WINDOWS, r"C:\v\python.exe -m pip install --force-reinstall --no-deps "),
        (changed(LINUX, pip=False), "uv pip install --python /opt/v/bin/python --reinstall "),
        (
            changed(LINUX, machine="aarch64"),
            "CMAKE_ARGS='-DCMAKE_PROJECT_llama_cpp_INCLUDE=/opt/build.cmake -DGGML_CUDA=ON' "
            "/opt/v/bin/python -m pip install --force-reinstall --no-cache-dir --no-deps "
            "--no-binary llama-cpp-python llama-cpp-python==0.3.36",
        ),
    ],
)
def test_the_command_is_for_the_shell_at_hand(where: PythonEnvironment, begins: str) -> None:
    line = advice([RTX], [], where)
    assert line.partition(": ")[2].removeprefix("Compile one: ").startswith(begins), line
    assert "\n" not in line


@pytest.mark.skipif(sys.platform == "win32", reason="its shells are compared word by word")
@pytest.mark.parametrize("recipe", ["/opt/build.cmake", "/it's my/build.cmake", '/"x" $y/b.cmake'])
def test_the_command_that_compiles(recipe: str, tmp_path: Path) -> None:
    """A shell hands on what scikit-build-core then splits, whatever the folder is called."""
    python = tmp_path / "my python"
    python.write_text('#!/bin/sh\nprintf %s "$CMAKE_ARGS"\n')
    python.chmod(0o755)
    where = changed(LINUX, recipe=PurePosixPath(recipe), python=str(python))
    shown = subprocess.run(
        rebuild("-DGGML_CUDA=ON", target=where), shell=True, check=True, capture_output=True
    )
    assert shlex.split(shown.stdout.decode()) == [
        f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={recipe}",
        "-DGGML_CUDA=ON",
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (
            WINDOWS,
            """$env:CMAKE_ARGS='"-DCMAKE_PROJECT_llama_cpp_INCLUDE=C:/it''s my/build.cmake"'; """
            r"C:\v\python.exe -m pip install --force-reinstall --no-cache-dir ",
        ),
        (
            changed(WINDOWS, cmd=True, recipe=PureWindowsPath(r"C:\my v\build.cmake")),
            """set "CMAKE_ARGS='-DCMAKE_PROJECT_llama_cpp_INCLUDE=C:/my v/build.cmake'" && """
            r"C:\v\python.exe -m pip install ",
        ),
        (
            changed(LINUX, pip=False),
            "CMAKE_ARGS=-DCMAKE_PROJECT_llama_cpp_INCLUDE=/opt/build.cmake uv pip install "
            "--python /opt/v/bin/python --reinstall --no-cache --no-deps --no-binary "
            "llama-cpp-python llama-cpp-python==0.3.36",
        ),
    ],
)
def test_the_command_that_compiles_elsewhere(where: PythonEnvironment, expected: str) -> None:
    assert rebuild(target=where).startswith(expected)


def test_what_compiles_llama_cpp_is_installed() -> None:
    assert wheels.RECIPE.as_posix() in rebuild()
    text = wheels.RECIPE.read_text("utf-8")
    assert "-fno-dse" in text
    assert "CMAKE_CXX_FLAGS" not in text  # a compiler's own would be lost


@pytest.mark.parametrize(
    ("cards", "gpus"),
    [
        ([], []),
        ([RTX], [Gpu("CUDA0", "NVIDIA GeForce RTX 3060", "CUDA", 1, 12 * GIB)]),
        ([RTX], [Gpu("Vulkan0", "NVIDIA GeForce RTX 3060", "Vulkan", 1, 12 * GIB)]),
        ([RADEON], [Gpu("ROCm0", "AMD Radeon RX 7900 XTX", "ROCm", 1, 24 * GIB)]),
        ([RADEON], [Gpu("Vulkan0", "AMD Radeon RX 7900 XTX (RADV)", "Vulkan", 1, 24 * GIB)]),
        ([RADEON], [Gpu("Vulkan0", "AMD Radeon 8060S (RADV)", "Vulkan", 1, 64, unified=True)]),
        ([M3], [Gpu("MTL0", "Apple M3", "Metal", 1, 12 * GIB, unified=True)]),
        # One build has one kind of GPU, and the better one is used already.
        ([RTX, RADEON], [Gpu("ROCm0", "AMD Radeon RX 7900 XTX", "ROCm", 1, 24 * GIB)]),
    ],
)
def test_no_advice_where_there_is_nothing_to_gain(
    cards: list[GraphicsCard], gpus: list[Gpu]
) -> None:
    assert advice(cards, gpus, LINUX) == ""


def test_advice_where_the_better_card_is_unused() -> None:
    small = Gpu("CUDA0", "NVIDIA GeForce RTX 3060", "CUDA", 1, 12 * GIB)
    assert "AMD card of 24 GiB" in advice([RTX, RADEON], [small], LINUX)
    shared = Gpu("Vulkan0", "Intel(R) UHD Graphics", "Vulkan", 1, 32 * GIB, unified=True)
    assert "RTX 3060" in advice([RTX], [shared], LINUX)
