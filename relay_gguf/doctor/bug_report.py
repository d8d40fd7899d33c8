"""The facts for a bug report: versions, devices, flags. No user names, no paths of a home."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from relay_gguf.machine.cpu import physical_cores, usable_cpus
from relay_gguf.machine.devices import ram
from relay_gguf.version import installed_version

from .fingerprint import libraries_folder, settings
from .result import Verdict
from .self_test import SELFTEST

PACKAGES: Final = (
    "relay-gguf",
    "llama-cpp-python",
    "gguf",
    "numpy",
    "huggingface_hub",
    "prompt_toolkit",
    "tokenizers",
)
SHOWN: Final = ("OMP_", "GOMP_", "KMP_", SELFTEST)


def report_lines(found: Verdict, told: list[str], system_info: str) -> Iterator[str]:
    """The report, as a block of Markdown.

    Args:
        found: the verdict.
        told: the verdict in words, line by line.
        system_info: llama.cpp's line on how it was built; empty if it could not be loaded.
    """
    yield "```text"
    for line in _lines(found, told, system_info):
        yield without_home(line)
    yield "```"


def _lines(found: Verdict, told: list[str], system_info: str) -> Iterator[str]:
    yield "  ".join(f"{name} {installed_version(name) or 'not installed'}" for name in PACKAGES)
    yield f"Python {sys.version.split()[0]} ({platform.python_implementation()})"
    yield f"{platform.system()} {platform.release()} {platform.machine()}"
    memory = ram()
    size = f", {memory.total / 2**30:.0f} GiB of RAM" if memory else ""
    yield f"{len(usable_cpus())} logical CPUs, {physical_cores()} cores used{size}"
    yield f"llama.cpp: {system_info or 'not loaded'}"
    folder = libraries_folder()
    if folder is not None and folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        yield "libraries: " + ", ".join(f"{f.name} ({f.stat().st_size >> 10} KiB)" for f in files)
    # Names alone: a value may be a path or a secret.
    yield "set: " + (
        ", ".join(line.partition("=")[0] for line in settings(os.environ)) or "nothing"
    )
    yield "threads: " + (
        ", ".join(f"{n}={v}" for n, v in sorted(os.environ.items()) if n.startswith(SHOWN))
        or "nothing set"
    )
    yield from told
    if found.hidden:
        yield f"hidden: {', '.join(found.hidden)}"


def without_home(text: str) -> str:
    """A text with `~` for the home folder, and without the names of user and computer."""
    try:
        home = str(Path.home())
    except RuntimeError:
        home = ""
    if len(home) > 1:
        text = text.replace(home, "~")
    for name in (Path(home).name, platform.node()):
        if len(name) > 3:  # a short one may be a part of any word
            text = text.replace(name, "…")
    return text
